// What every page does: toasts that leave, notes that can be closed, filters that send themselves,
// and a word when something was not saved.
(() => {
  "use strict";

  const TOAST_SECONDS = 8;
  const MOST = 3;
  const ipath = (window.ipath ??= {});

  // Toasts leave by themselves; under the pointer or the focus they stay.
  const held = (toast) => toast.matches(":hover, :focus-within");

  function leave(toast) {
    const wait = () => setTimeout(() => (held(toast) ? wait() : toast.remove()), TOAST_SECONDS * 1000);
    toast.dataset.leaving = "";
    wait();
  }

  function tidyToasts() {
    const toasts = [...document.querySelectorAll("#toasts > .toast")];
    toasts.slice(0, -MOST).forEach((toast) => toast.remove());
    toasts.filter((toast) => !("leaving" in toast.dataset)).forEach(leave);
  }

  // The same note twice says no more than once: a poll that fails again and again shows one.
  function tidyNotes() {
    const notes = [...document.querySelectorAll("#flash > .note")];
    const first = new Map(notes.toReversed().map((note) => [note.textContent.trim(), note]));
    const kept = notes.filter((note) => first.get(note.textContent.trim()) === note).slice(-MOST);
    notes.filter((note) => !kept.includes(note)).forEach((note) => note.remove());
  }

  // Shows an error note on top of the page.
  ipath.note = (text) => {
    const note = document.getElementById("flash-note").content.cloneNode(true);
    note.querySelector("p").textContent = text;
    document.getElementById("flash").append(note);
    tidyNotes();
  };

  // An error answer that the page does not show by itself: no message in it, and no form that takes its status.
  function isShown({ text = "", response, sourceElement }) {
    return text.includes("hx-swap-oob") || sourceElement.hasAttribute(`hx-status:${response.status}`);
  }

  const changes = (ctx) => (ctx.request?.method ?? "GET").toUpperCase() !== "GET";

  document.addEventListener("htmx:response:error", ({ detail: { ctx } }) => {
    if (isShown(ctx)) return;
    const what = changes(ctx) ? "Not saved" : "Not loaded";
    ipath.note(`${what}: the server answered with error ${ctx.response.status}. What you wrote is still here; try again.`);
  });

  document.addEventListener("htmx:error", ({ detail: { ctx } }) => {
    if (ctx && !ctx.response && changes(ctx)) {
      ipath.note("Not saved: the server does not answer. What you wrote is still here; try again.");
    }
  });

  const focusFirstError = (root) => root.querySelector("[aria-invalid=true]")?.focus();

  document.addEventListener("htmx:after:swap", ({ detail: { ctx } }) => {
    tidyToasts();
    tidyNotes();
    if (ctx?.response?.status === 422) focusFirstError(document);
  });

  document.addEventListener("click", (event) => {
    const closing = event.target.closest("[data-dismiss]");
    closing?.closest(".toast, .note").remove();
    event.target.closest("[data-close-details]")?.closest("details").removeAttribute("open");
    const copying = event.target.closest("[data-copy]");
    if (copying) copy(copying);
  });

  // A button with data-copy="#id" copies the text of that element and says so on itself.
  async function copy(button) {
    await navigator.clipboard.writeText(document.querySelector(button.dataset.copy).textContent);
    const said = button.dataset.copied ?? "Copied";
    button.lastChild.textContent = said;
  }

  // A form with data-autosubmit sends itself when one of its fields changes; without script it has a button.
  document.addEventListener("change", (event) => {
    event.target.closest("form[data-autosubmit]")?.requestSubmit();
  });

  document.addEventListener("DOMContentLoaded", () => {
    tidyToasts();
    focusFirstError(document);
  });
})();
