import http from 'k6/http';

export const options = {
  discardResponseBodies: true,
  scenarios: { load: { executor: 'constant-vus', vus: CONNECTIONS, duration: 'SECONDSs' } },
};

const pages = [];
for (let page = 1; page <= 10; page++) {
  for (let weight = page; weight <= 10; weight++) pages.push(`ROOT/p/${page}`);
}
let at = 0;

export default function () {
  http.get(pages[at++ % pages.length]);
}
