// A report that stands alone: one HTML file with the style, the plots and the raw result inside.

import { assert } from "./dom.js";

// The page of a test as it is now, without what only works live.
export async function standalone(element, { test, result }) {
  const copy = element.cloneNode(true);
  for (const live of copy.querySelectorAll("[data-live], .tip, .spoken, .choice")) live.remove();
  copy.querySelectorAll("details").forEach((details) => details.setAttribute("open", ""));
  for (const plot of copy.querySelectorAll("svg")) plot.removeAttribute("tabindex");
  const report = document.implementation.createHTMLDocument(`dlts report ${result.test_id}`);
  report.documentElement.lang = "en";
  const charset = report.createElement("meta");
  charset.setAttribute("charset", "utf-8");
  const style = report.createElement("style");
  style.textContent = await styleSheet();
  report.head.prepend(charset);
  report.head.append(style);
  report.body.className = "report";
  const main = report.createElement("main");
  main.append(report.importNode(copy, true));
  report.body.append(main, data(report, { test, result }));
  const text = `<!doctype html>\n${report.documentElement.outerHTML}\n`;
  assert(!text.includes("/assets/"), "a report needs no other file");
  return text;
}

async function styleSheet() {
  const sheet = document.querySelector('link[rel="stylesheet"]');
  return (await fetch(sheet.href)).text();
}

// Readable by programs; "<" would let a text in it end the element.
function data(report, value) {
  const script = report.createElement("script");
  script.type = "application/json";
  script.id = "result";
  script.textContent = JSON.stringify(value).replaceAll("<", "\\u003c");
  return script;
}
