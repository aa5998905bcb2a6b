// Keys of the duplicates' pages: y, n and c press what carries them in the group at hand.
// That is the one with the focus or under the pointer, else the first.
(() => {
  "use strict";

  const typing = (target) => target.closest("input:not([type=checkbox]), textarea, select, [contenteditable]");

  const group = () =>
    document.querySelector("[data-group]:focus-within") ??
    document.querySelector("[data-group]:hover") ??
    document.querySelector("[data-group]");

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || typing(event.target)) return;
    const key = event.key.toLowerCase();
    if (!["y", "n", "c"].includes(key)) return;
    group()?.querySelector(`[data-key="${key}"]`)?.click();
  });
})();
