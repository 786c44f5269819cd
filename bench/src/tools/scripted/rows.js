import http from 'k6/http';
import exec from 'k6/execution';
import { SharedArray } from 'k6/data';

export const options = {
  discardResponseBodies: true,
  scenarios: { load: { executor: 'constant-vus', vus: CONNECTIONS, duration: 'SECONDSs' } },
};

const rows = new SharedArray('rows', () =>
  open('./rows.csv').trim().split('\n').slice(1).map((line) => line.split(',')));

export default function () {
  const row = rows[exec.scenario.iterationInTest % rows.length];
  // One name for all, lest each address be a metric of its own.
  http.get(`ROOT/users/${row[0]}`, { headers: { 'X-User': row[1] }, tags: { name: 'user' } });
}
