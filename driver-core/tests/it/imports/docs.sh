#!/bin/sh
# How our API is called.
export TOKEN=...

curl -s -u "demo:secret-1" https://api.example.com/v1/token | jq -r .token
curl -sS -H "Authorization: Bearer $TOKEN" \
     "https://api.example.com/v1/orders?limit=20&api_key=k-123"
curl -X POST https://api.example.com/v1/orders \
     -H "Authorization: Bearer $TOKEN" \
     -H "Content-Type: application/json" \
     -d '{"sku": "A1", "price": "$5"}' -L --retry 3
curl -fsS -o invoice.pdf https://api.example.com/v1/orders/1/invoice -m 5
curl -I https://api.example.com/v1/health
curl -F 'file=@invoice.pdf' https://api.example.com/v1/upload
