// A report that stands alone: one HTML file with the style, the plots and the raw result inside.
//
// It is put together as text, since the policy of this page would hold for a document made in it,
// and that forbids the inline style which the file needs.

import { assert } from "./dom.js";

// The page of a test as it is now, without what only works live.
export async function standalone(element, { test, result }) {
  const copy = element.cloneNode(true);
  for (const live of copy.querySelectorAll("[data-live], .tip, .spoken, .choice, .cursor, .dot"))
    live.remove();
  copy.querySelectorAll("details").forEach((details) => details.setAttribute("open", ""));
  for (const plot of copy.querySelectorAll("svg")) plot.removeAttribute("tabindex");
  const text = [
    '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
    '<meta name="viewport" content="width=device-width, initial-scale=1">',
    `<title>${escaped(`dlts report ${result.test_id}`)}</title>`,
    `<style>\n${await styleSheet()}</style>\n</head>`,
    `<body class="report">\n<main>${copy.outerHTML}</main>`,
    `<script type="application/json" id="result">${data({ test, result })}</script>`,
    "</body>\n</html>\n",
  ].join("\n");
  assert(!text.includes("/assets/"), "a report needs no other file");
  return text;
}

async function styleSheet() {
  const sheet = document.querySelector('link[rel="stylesheet"]');
  const text = await (await fetch(sheet.href)).text();
  assert(!text.includes("</"), "a style sheet that does not end its element");
  return text;
}

function escaped(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}

// Readable by programs; "<" would let a text in it end the element.
function data(value) {
  return JSON.stringify(value).replaceAll("<", "\\u003c");
}
