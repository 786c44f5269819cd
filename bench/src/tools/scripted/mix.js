import http from 'k6/http';
import exec from 'k6/execution';

export const options = {
  discardResponseBodies: true,
  scenarios: { load: { executor: 'constant-vus', vus: CONNECTIONS, duration: 'SECONDSs' } },
};

const pages = [];
for (let page = 1; page <= 10; page++) {
  for (let weight = page; weight <= 10; weight++) pages.push(`ROOT/p/${page}`);
}

export default function () {
  http.get(pages[exec.scenario.iterationInTest % pages.length]);
}
