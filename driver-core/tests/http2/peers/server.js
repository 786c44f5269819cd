// A server of node's http2 without TLS. It prints "ready PORT"; for each line on its standard input it
// prints how many requests it has seen and how many bytes of bodies. Every seventh request is
// answered late, and every tenth is reset with the code 2.
'use strict';
const http2 = require('node:http2');

let requests = 0;
let received = 0;
const server = http2.createServer({ settings: { maxConcurrentStreams: Number(process.argv[2]) } });
server.on('stream', (stream) => {
  requests += 1;
  const number = requests;
  stream.on('error', () => {});
  stream.on('data', (piece) => { received += piece.length; });
  stream.on('end', () => {
    if (stream.pushAllowed) throw new Error('pushes were refused');
    if (number % 10 === 0) return stream.close(2);
    const answer = () => {
      stream.respond({ ':status': number % 3 === 0 ? 418 : 200, 'x-number': String(number) });
      stream.end('hello');
    };
    return number % 7 === 0 ? setTimeout(answer, 2) : answer();
  });
});
server.listen(0, '127.0.0.1', () => console.log('ready', server.address().port));
require('node:readline').createInterface({ input: process.stdin })
  .on('line', () => console.log(requests, received))
  .on('close', () => process.exit());
