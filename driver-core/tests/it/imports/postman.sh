curl --location --request POST 'http://api.example.com:8080/oauth/token' \
--header 'Content-Type: application/x-www-form-urlencoded' \
--header 'Cookie: JSESSIONID=8B2F' \
--data-urlencode 'grant_type=password' \
--data-urlencode 'username=max@example.com' \
--data-urlencode 'password=p&w d'

curl --location --request GET 'http://api.example.com:8080/users/{{id}}'
curl --location 'http://api.example.com:8080/users?sort=name&dir=asc' --form 'a="b"'
