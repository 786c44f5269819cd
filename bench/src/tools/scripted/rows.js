import http from 'k6/http';
import { SharedArray } from 'k6/data';

export const options = {
  discardResponseBodies: true,
  scenarios: { load: { executor: 'constant-vus', vus: CONNECTIONS, duration: 'SECONDSs' } },
};

const rows = new SharedArray('rows', () =>
  open('./rows.csv').trim().split('\n').slice(1).map((line) => line.split(',')));
let at = 0;

export default function () {
  const row = rows[at++ % rows.length];
  http.get(`ROOT/users/${row[0]}`, { headers: { 'X-User': row[1] } });
}
