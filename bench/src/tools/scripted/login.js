import http from 'k6/http';
import { check } from 'k6';

export const options = {
  scenarios: { load: { executor: 'constant-vus', vus: CONNECTIONS, duration: 'SECONDSs' } },
};

export default function () {
  const token = http.get('ROOT/ping').json('message');
  const answer = http.get('ROOT/', { headers: { Authorization: `Bearer ${token}` } });
  check(answer, { hello: (answer) => answer.body.includes('Hello') });
}
