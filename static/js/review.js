// The review screen: keys, drafts, leases. Every act is a real form; this only makes it quick and safe.
(() => {
  "use strict";
  const SAVE_AFTER = 800;
  const RENEW_EVERY = 120;
  const WARN_BELOW = 60;

  const review = () => document.getElementById("review");
  const form = () => document.getElementById("decide");
  const caption = () => document.getElementById("caption");
  const isTyping = (element) => element.closest("input, textarea, select") !== null;
  const kept = (key, value) => {
    try {
      if (value === undefined) return sessionStorage.getItem(key);
      if (value === null) sessionStorage.removeItem(key);
      else sessionStorage.setItem(key, value);
    } catch (_full_or_forbidden) { /* the server keeps drafts too */ }
    return null;
  };

  let timers = [];
  let saving = null;
  let isTouched = false;  // the server's draft must follow what is on screen
  let isPeeked = false;  // the text was opened only to put private details back
  let sentDraft = "";  // the key of the draft that is being sent
  let shownAt = 0;
  let active = false;
  let attached = null;  // the #review that was made to work
  let isWarned = false;  // that a passage is not in the original

  // --- one candidate on screen ---------------------------------------------------------------

  function attach() {
    timers.forEach(clearInterval);
    timers = [];
    const page = attached = review();
    // A status region must be there before its text changes, so it stands outside of what is swapped.
    const said = document.getElementById("said")?.textContent.trim();
    if (said) document.getElementById("announce").textContent = said;
    document.title = `${document.querySelector("h1").textContent} · IPATH Curator`;
    if (!page || !form()) return;
    scrollTo(0, 0);  // on a phone the button that was pressed stands far below the next image
    shownAt = Date.now();
    isTouched = isPeeked = isWarned = false;
    (page.dataset.preload || "").split(" ").filter(Boolean).forEach((url) => { new Image().src = url; });
    restore();
    markDetails();
    timers.push(setInterval(countDown, 1000));
    if (page.dataset.editing === "true") edit();
    else if (!document.querySelector("dialog[open]")) page.querySelector(".viewer").focus({ preventScroll: true });
  }

  function restore() {
    const text = kept(draftKey());
    if (text !== null && caption() && text !== caption().value) {
      caption().value = text;
      edit();
      saveSoon();
    }
  }

  // Named after the reviewer too: the next person in this tab must not find it.
  const draftKey = () => {
    const reviewer = document.querySelector("#sign-in-again [name=name]").value;
    return `draft-${reviewer}-${review().dataset.candidate}-${review().dataset.version}`;
  };

  const hideNote = () => document.getElementById("doubt-note")?.setAttribute("hidden", "");
  const isOpen = () => !document.getElementById("caption-box").hidden;

  function openText(open = true) {
    document.getElementById("caption-shown").hidden = open;
    document.getElementById("doubts")?.toggleAttribute("hidden", open);
    hideNote();
    document.getElementById("caption-box").hidden = !open;
    document.querySelector("[data-accept]").textContent = open ? "Accept edited" : "Accept";
  }

  function edit() {
    review().classList.add("keys-off");
    openText();
    caption().focus();
  }

  function leaveText() {
    review().classList.remove("keys-off");
    review().querySelector(".viewer").focus({ preventScroll: true });
  }

  function backToOriginal() {
    edit();
    write(review().dataset.raw);
  }

  function write(text) {
    caption().value = text;
    markDetails();
    saveSoon();
  }

  // --- private details that were left out, and what a language model says of the fields --------

  const markDetails = () => window.ipath.details.mark(caption().value);

  function toggleDetails(buttons) {
    const text = window.ipath.details.toggled(caption().value, buttons);
    isPeeked ||= !isOpen();
    openText();
    write(text);
    if (isPeeked && text === caption().defaultValue) leaveAsProposed();
  }

  function leaveAsProposed() {
    isPeeked = false;
    openText(false);
    kept(draftKey(), null);
    if (!isTouched) clearTimeout(saving);
  }

  function markChecked(name) {
    document.getElementById(`ruled-${name}`)?.remove();
    const mark = document.getElementById(`unchecked-${name}`);
    if (!mark) return;
    mark.remove();
    document.getElementById(`field-${name}`).removeAttribute("aria-describedby");
    form().elements.checked.value += ` ${name}`;
  }

  function toggleReasons(open) {
    const menu = document.getElementById("why-menu");
    const button = form().querySelector("[value=reject]");
    menu.hidden = !open;
    hideNote();
    button.setAttribute("aria-expanded", String(open));
    if (open) menu.querySelector(".reasons button").focus();
    else button.focus();
  }

  const reasonsOpen = () => !document.getElementById("why-menu").hidden;

  function decide(value) {
    const button = form().querySelector(`[name=decision][value=${value}]`);
    if (button && !button.disabled) form().requestSubmit(button);
  }

  // --- drafts and the lease ------------------------------------------------------------------

  function saveSoon() {
    kept(draftKey(), caption().value);
    active = true;
    clearTimeout(saving);
    saving = setTimeout(save, SAVE_AFTER);
  }

  async function save() {
    const page = review();
    isTouched = true;
    try {
      const sent = await fetch(page.dataset.draftUrl, { method: "POST", body: new FormData(form()) });
      if (sent.status === 401) return signInAgain(save);
      if (!sent.ok) throw new Error(String(sent.status));
      lease(await sent.json());
      said(`Draft saved ${new Date().toLocaleTimeString("en-GB")}`, "t-ok");
    } catch (_offline) {
      said("Not saved, trying again", "t-warn");
      saving = setTimeout(save, 3000);
    }
  }

  function said(text, tone) {
    const place = document.getElementById("draft-state");
    if (place) { place.textContent = text; place.className = `small hide-s ${tone}`; }
  }

  function lease({ seconds, until }) {
    const page = review();
    if (!page) return;
    page.dataset.until = String(Date.now() / 1000 + seconds);
    if (until) page.dataset.knownUntil = until;
  }

  function countDown() {
    const page = review();
    const place = document.getElementById("lease");
    if (!page || !place) return;
    if (!page.dataset.until) lease({ seconds: Number(page.dataset.seconds) });
    const left = Math.max(0, Math.round(page.dataset.until - Date.now() / 1000));
    place.textContent = left ? `Yours for ${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}` : "Time is over; nothing is lost";
    place.classList.toggle("t-warn", left < WARN_BELOW);
    if (active && !document.hidden && left && Number(page.dataset.seconds) - left > RENEW_EVERY) renew(page);
  }

  async function renew(page) {
    active = false;
    try {
      const sent = await fetch(page.dataset.renewUrl, { method: "POST" });
      if (sent.ok) lease(await sent.json());
    } catch (_offline) { active = true; }
  }

  // --- a session that ended: sign in over the page, then send the same text again -------------

  function signInAgain(then) {
    const dialog = document.getElementById("sign-in-again");
    const box = dialog.querySelector("form");
    if (!dialog.open) dialog.showModal();
    box.onsubmit = async (event) => {
      event.preventDefault();
      const sent = await fetch(box.action, { method: "POST", body: new FormData(box), redirect: "manual" });
      const isIn = sent.type === "opaqueredirect";
      dialog.querySelector(".error").hidden = isIn;
      if (isIn) { box.reset(); dialog.close(); then(); }
    };
  }

  document.addEventListener("htmx:after:request", (event) => {
    const response = event.detail?.ctx?.response;
    if (response?.status === 401 && form() && event.target === form()) {
      const button = form().querySelector(`[value="${form().dataset.pressed || "accept"}"]`);
      signInAgain(() => form().requestSubmit(button));
    }
    if (response?.status === 200 && event.target?.id === "decide") kept(sentDraft, null);
  });

  // --- keys ----------------------------------------------------------------------------------

  const acts = {
    a: () => decide("accept"),
    r: () => toggleReasons(!reasonsOpen()),
    f: () => decide("flag"),
    s: () => decide("skip"),
    u: () => decide("undo"),
    e: edit,
    n: () => document.getElementById("note").focus(),
    o: backToOriginal,
    p: () => toggleDetails(),
    "?": () => document.getElementById("keys").showModal(),
    "[": () => otherImage(-1),
    "]": () => otherImage(1),
    c: () => form().elements.crop?.click(),
    m: () => review().querySelector("[name=masks][type=checkbox]")?.click(),
    i: () => review().classList.toggle("image-only"),
  };

  function otherImage(step) {
    const links = [...review().querySelectorAll("[data-sibling]")];
    const shown = links.findIndex((link) => link.hasAttribute("data-shown"));
    const next = links[(shown + step + links.length) % links.length];
    if (next) showSibling(next);
  }

  function showSibling(link) {
    const image = review().querySelector(".viewer img");
    review().querySelectorAll("[data-sibling]").forEach((other) => other.toggleAttribute("data-shown", other === link));
    image.src = link.dataset.sibling;
    const note = document.getElementById("other-image");
    note.hidden = link.hasAttribute("aria-current");
    image.parentElement.classList.toggle("another", !note.hidden);
    note.textContent = "Another image of this post, not the one under review";
    window.ipath?.viewer?.fit?.();
  }

  // A decision is about the image under review: while another is shown, pressing only brings that one back.
  function bringBackOwnImage() {
    const own = review().querySelector("[data-sibling][aria-current]");
    if (!own || own.hasAttribute("data-shown")) return false;
    showSibling(own);
    const note = document.getElementById("other-image");
    note.textContent = "This is the image under review. Decide again.";
    note.hidden = false;
    return true;
  }

  // What machines say beyond the original is not published by one key: the first press only points at it.
  function pointAtDoubts() {
    const note = document.getElementById("doubt-note");
    if (!note || isWarned || isOpen()) return false;
    isWarned = true;
    note.hidden = false;
    document.getElementById("announce").textContent = note.textContent.trim();
    document.querySelector("#caption-shown .doubt").scrollIntoView({ block: "nearest" });
    return true;
  }

  document.addEventListener("keydown", (event) => {
    if (!review() || !form() || document.querySelector("dialog[open]")) return;
    active = true;
    if (event.key === "Escape") {
      if (isTyping(event.target)) { event.preventDefault(); leaveText(); } else if (reasonsOpen()) toggleReasons(false);
      return;
    }
    if ((event.ctrlKey || event.metaKey) && event.key === "Enter" && event.target === caption()) {
      event.preventDefault();
      return decide("accept");
    }
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
    if (reasonsOpen() && /^[1-8]$/.test(event.key)) {
      event.preventDefault();
      event.stopImmediatePropagation();
      return form().querySelector(`[name=reason][data-digit="${event.key}"]`).click();
    }
    if (acts[event.key] && !event.repeat) {
      event.preventDefault();
      acts[event.key]();
    }
  }, true);

  // --- wiring --------------------------------------------------------------------------------

  document.addEventListener("click", (event) => {
    const target = event.target.closest("[data-edit], [data-original], [data-leave-reasons], [data-sibling], [data-keys], [data-use], [data-detail], [data-details], [data-checked]");
    if (!target || !review()) return;
    const act = [
      ["edit", edit],
      ["original", backToOriginal],
      ["leaveReasons", () => toggleReasons(false)],
      ["sibling", () => showSibling(target)],
      ["keys", acts["?"]],
      ["use", () => { edit(); write(target.dataset.use); }],
      ["detail", () => toggleDetails([target])],
      ["details", acts.p],
      ["checked", () => { isTouched = true; markChecked(target.dataset.checked); saveSoon(); leaveText(); }],  // so that keys decide
    ].find(([name]) => name in target.dataset);
    event.preventDefault();
    act[1]();
  });

  document.addEventListener("submit", (event) => {
    if (event.target !== form()) return;
    const pressed = event.submitter?.name === "reason" ? "reject" : event.submitter?.value;
    if (!["skip", "undo"].includes(pressed) && bringBackOwnImage()) {
      event.preventDefault();
      return event.stopImmediatePropagation();
    }
    if (pressed === "accept" && pointAtDoubts()) {
      event.preventDefault();
      return event.stopImmediatePropagation();
    }
    if (pressed === "reject" && event.submitter.name !== "reason") {
      event.preventDefault();
      event.stopImmediatePropagation();
      return toggleReasons(true);
    }
    clearTimeout(saving);
    form().elements.seconds.value = ((Date.now() - shownAt) / 1000).toFixed(1);
    form().dataset.pressed = pressed;
    sentDraft = ["skip", "undo"].includes(pressed) ? "" : draftKey();
  }, true);

  document.addEventListener("input", (event) => {
    if (!review() || !form() || event.target.form !== form()) return;
    if (event.target === caption()) markDetails();
    else if (event.target.closest(".fields")) markChecked(event.target.name);
    else if (!["crop", "masks"].includes(event.target.name)) return;
    isTouched = true;
    saveSoon();
  });
  document.addEventListener("pointermove", () => { active = true; }, { passive: true });

  addEventListener("pagehide", () => {
    const page = review();
    if (!page?.dataset.releaseUrl || !form()) return;
    const body = new URLSearchParams({ until: page.dataset.knownUntil });
    fetch(page.dataset.releaseUrl, { method: "POST", body, keepalive: true });
  });
  document.addEventListener("htmx:after:swap", () => {
    if (review() !== attached) attach();  // not when only the list of last decisions was loaded
  });
  document.addEventListener("DOMContentLoaded", attach);
})();
