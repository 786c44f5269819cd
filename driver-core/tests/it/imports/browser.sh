curl 'https://shop.example.com/api/v2/cart/items?locale=de-DE' \
  -X 'PATCH' \
  -H 'accept: application/json, text/plain, */*' \
  -H 'accept-language: de-DE,de;q=0.9,en;q=0.8' \
  -H 'authorization: Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI0MiJ9.c2lnbmF0dXJl' \
  -H 'cache-control: no-cache' \
  -H 'content-type: application/json' \
  -b '_ga=GA1.1.123; session=s%3Aabc.def' \
  -H 'origin: https://shop.example.com' \
  -H 'referer: https://shop.example.com/cart' \
  -H 'sec-ch-ua: "Chromium";v="124", "Not-A.Brand";v="99"' \
  -H 'user-agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36' \
  --data-raw $'{"note":"Gr\u00fc\u00dfe\u0021","qty":2,"it":"it\'s"}' ;
curl 'https://shop.example.com/api/v2/cart' \
  -H 'accept: application/json, text/plain, */*' \
  -H 'user-agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36' ;
curl 'https://cdn.example.net/logo.svg' --compressed
