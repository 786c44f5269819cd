// Building and updating the page. What comes from outside goes in as text, never as markup.

const SVG = "http://www.w3.org/2000/svg";

export function assert(condition, message) {
  if (!condition) throw new Error(`assertion failed: ${message}`);
}

// h("td", { class: "number", "data-ok": 5, on: { click } }, "text", node, null)
export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "on") listen(element, value);
    else setAttribute(element, name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

function listen(element, handlers) {
  for (const [event, handler] of Object.entries(handlers)) {
    element.addEventListener(event, handler);
  }
}

// null, undefined and false remove it; true is the empty attribute.
export function setAttribute(element, name, value) {
  assert(name !== "style" && !name.startsWith("on"), `${name} is not set this way`);
  if (value === null || value === undefined || value === false) element.removeAttribute(name);
  else {
    const text = value === true ? "" : String(value);
    if (element.getAttribute(name) !== text) element.setAttribute(name, text);
  }
}

export function setAttributes(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) setAttribute(element, name, value);
}

// Touches the document only when something changed, so that selections and focus stay.
export function setText(element, text) {
  const wanted = String(text);
  if (element.textContent !== wanted) element.textContent = wanted;
}

// Makes the children of `parent` one element per item, in order, keeping those whose key stays.
// A key is that of one item.
export function keyed(parent, items, keyOf, create, update) {
  const old = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  const wanted = items.map((item, at) => {
    const key = String(keyOf(item, at));
    let child = old.get(key);
    if (!child) {
      child = create(item);
      child.dataset.key = key;
    }
    old.delete(key);
    update(child, item);
    return child;
  });
  for (const child of old.values()) child.remove();
  wanted.forEach((child, at) => {
    if (parent.children[at] !== child) parent.insertBefore(child, parent.children[at] ?? null);
  });
}

// A group of mutually exclusive buttons.
export function choice(label, options, chosen, onChange) {
  const buttons = options.map(([value, text]) => {
    const press = () => select(value);
    return h("button", { type: "button", "data-value": value, on: { click: press } }, text);
  });
  const show = (value) => {
    for (const button of buttons) {
      setAttribute(button, "aria-pressed", String(button.dataset.value === value));
    }
  };
  function select(value) {
    show(value);
    onChange(value);
  }
  show(chosen);
  return h("span", { class: "choice", role: "group", "aria-label": label }, buttons);
}

export function card(title, ...children) {
  const heading = h("h2", {}, title);
  return h("section", { class: "card", "aria-label": title }, heading, ...children);
}

// Hands a file to the browser's downloads.
export function download(name, type, contents) {
  const url = URL.createObjectURL(new Blob([contents], { type }));
  const link = h("a", { href: url, download: name, hidden: true });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
