// Private details that were left out of a caption: put back where they stood, and taken out again.
(() => {
  "use strict";
  window.ipath = window.ipath || {};
  const WORDS = /\p{L}+|\p{N}+/gu;

  // Right behind the characters that stood before it; where those changed, behind the sentence they are in, or at the end.
  function put(text, detail, before) {
    const at = placeAfter(text, before);
    const [head, tail] = [text.slice(0, at), text.slice(at)];
    const [gap] = /\n\s*$/.exec(before) || [" "];
    return `${head}${!head || /[\s([{]$/.test(head) ? "" : gap}${detail}${!tail || /^[\s.,;:!?)\]}]/.test(tail) ? "" : " "}${tail}`;
  }

  function placeAfter(text, before) {
    const words = before.match(WORDS) || [];
    if (!words.length) return after(text, 0, before);
    for (let to = words.length; to; to -= 1) {
      for (let from = 0; from <= to - Math.min(2, words.length); from += 1) {  // one word alone stands in many places
        const known = words.slice(from, to).join("[^\\p{L}\\p{N}]*");
        const found = new RegExp(`(?<![\\p{L}\\p{N}])${known}(?![\\p{L}\\p{N}])`, "iu").exec(text);
        if (!found) continue;
        const end = found.index + found[0].length;
        return to === words.length ? after(text, end, before.slice(before.lastIndexOf(words.at(-1)) + words.at(-1).length)) : endOfSentence(text, end);
      }
    }
    return text.length;
  }

  // Beyond those of the marks that still stand there.
  function after(text, at, marks) {
    for (const mark of marks.replace(/\s/g, "")) {
      const next = at + /^[^\S\n]*/.exec(text.slice(at))[0].length;
      if (text.startsWith(mark, next)) at = next + mark.length;
    }
    return at;
  }

  function endOfSentence(text, at) {
    const end = /[.!?。！？]+(?=\s|$)|(?=\n)|$/.exec(text.slice(at));
    return at + end.index + end[0].length;
  }

  function cut(text, detail) {
    const at = text.indexOf(detail);
    if (at < 0) return text;
    const [head, tail] = [text.slice(0, at), text.slice(at + detail.length)];
    return head ? head.replace(/[ \t]$/, "") + tail : tail.trimStart();
  }

  // --- the buttons that stand for the details ------------------------------------------------

  let restored = {};  // the caption before any were put back, which were, and how it reads since
  const all = () => [...document.querySelectorAll("#review [data-detail]")];
  const isIn = (button, text) => text.includes(button.dataset.detail);

  function mark(text) {
    all().forEach((button) => {
      button.textContent = isIn(button, text) ? "Leave out" : "Put back";
      button.setAttribute("aria-label", `${button.textContent}: ${button.dataset.detail}`);
    });
  }

  // The text with these put back (when none are given, all that are missing), or with them left out where they are in.
  // What was put back and left out again gives the very text as before, unless something else was changed meanwhile.
  function toggled(text, buttons = missing(text)) {
    if (!buttons.length) return text;
    const isKnown = restored.text === text && restored.back?.every((button) => button.isConnected);
    if (!isKnown) restored = { base: text, back: [] };
    const isBack = isIn(buttons[0], text);
    if (isBack && !buttons.every((button) => restored.back.includes(button))) {
      restored = { base: buttons.reduce((left, { dataset }) => cut(left, dataset.detail), text), back: [] };
    } else {
      restored.back = all().filter((button) => (buttons.includes(button) ? !isBack : restored.back.includes(button)));
    }
    // The last first, so that neighbours keep their order.
    restored.text = [...restored.back].reverse().reduce((made, { dataset }) => put(made, dataset.detail, dataset.before), restored.base);
    return restored.text;
  }

  function missing(text) {
    const out = all().filter((button) => !isIn(button, text));
    return out.length ? out : all();
  }

  window.ipath.details = { mark, toggled };
})();
