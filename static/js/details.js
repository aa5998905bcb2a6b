// Private details that were left out of a caption: put back where they stood, and taken out again.
(() => {
  "use strict";
  window.ipath = window.ipath || {};

  // Behind the words that stood before it (letters and digits alone), as far as they are still there; else at the end.
  function put(text, detail, before) {
    const at = placeAfter(text, before.split(" ").filter(Boolean));
    const [head, tail] = [text.slice(0, at), text.slice(at)];
    return `${head}${!head || /\s$/.test(head) ? "" : " "}${detail}${!tail || /^[\s.,;:!?)\]]/.test(tail) ? "" : " "}${tail}`;
  }

  function placeAfter(text, words) {
    if (!words.length) return 0;
    for (let to = words.length; to; to -= 1) {
      for (let from = 0; from < to; from += 1) {
        const known = words.slice(from, to).join("[^\\p{L}\\p{N}]+");
        const found = new RegExp(`(?<![\\p{L}\\p{N}])${known}(?![\\p{L}\\p{N}])`, "u").exec(text);
        if (found) return found.index + found[0].length;
      }
    }
    return text.length;
  }

  function cut(text, detail) {
    const at = text.indexOf(detail);
    const [head, tail] = [text.slice(0, at), text.slice(at + detail.length)];
    return head ? head.replace(/[ \t]$/, "") + tail : tail.trimStart();
  }

  window.ipath.details = { put, cut };
})();
