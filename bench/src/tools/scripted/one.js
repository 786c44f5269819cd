import http from 'k6/http';

export const options = {
  discardResponseBodies: true,
  scenarios: { load: { executor: 'constant-vus', vus: CONNECTIONS, duration: 'SECONDSs' } },
};

export default function () {
  http.get('ROOT/p/1');
}
