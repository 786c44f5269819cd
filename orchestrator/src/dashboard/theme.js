// Applies the stored theme before the first paint; a module would come too late.
"use strict";
try {
  const theme = localStorage.getItem("dlts-theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // Storage is forbidden here: the theme of the system it is.
}
