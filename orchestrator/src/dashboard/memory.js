// What stays in this tab while one looks elsewhere. Where the browser keeps nothing, or has no room for
// it, it stays as long as the page does.

const here = new Map();

export function recall(key) {
  if (here.has(key)) return here.get(key);
  try {
    return sessionStorage.getItem(key);
  } catch {
    return null;
  }
}

export function remember(key, text) {
  try {
    sessionStorage.setItem(key, text);
    here.delete(key);
  } catch {
    here.set(key, text);
  }
}

export function forget(key) {
  here.delete(key);
  try {
    sessionStorage.removeItem(key);
  } catch {
    // Then it was never there.
  }
}
