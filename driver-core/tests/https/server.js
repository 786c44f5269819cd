// The target of a test: https on one port, and on another how often it was asked.
const fs = require('fs');
const http = require('http');
const https = require('https');

let requests = 0;
const big = 'x'.repeat(300000) + 'Hello World';
const options = { cert: fs.readFileSync(process.argv[2]), key: fs.readFileSync(process.argv[3]) };
const target = https.createServer(options, (request, response) => {
  requests += 1;
  const body = request.url === '/big' ? big : 'Hello World';
  response.setHeader('Content-Length', body.length);
  response.end(body);
});
const count = http.createServer((_, response) => response.end(String(requests)));
target.listen(0, '127.0.0.1', () => count.listen(0, '127.0.0.1', () => {
  console.log(`127.0.0.1:${target.address().port} 127.0.0.1:${count.address().port}`);
}));
