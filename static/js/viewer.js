// Images one can zoom and move, on @panzoom/panzoom. A scale of 1 is "fit"; people see the share of the image's
// own pixels, so 100 % is one image pixel on one CSS pixel. Other scripts use window.ipath.viewer.
(() => {
  "use strict";

  const STEP = 1.25;
  const MOST = 8;
  const PAN = 80;
  const KEEP = "ipath.zoom.keep";
  const LAST = "ipath.zoom.last";
  const HIDDEN = "ipath.boxes.hidden";

  const viewers = new Map(); // element → { image, panzoom, pointer, sizes }
  let latest = null;

  const shown = () => [...viewers.keys()].filter((element) => element.isConnected);
  const current = () => {
    const focused = document.activeElement?.closest(".viewer");
    return viewers.get(viewers.has(focused) ? focused : latest?.isConnected ? latest : shown().at(-1));
  };

  // How much "fit" enlarges the image's own pixels.
  function fitRatio({ element, image }) {
    const { naturalWidth, naturalHeight } = image;
    if (!naturalWidth) return 1;
    return Math.min(element.clientWidth / naturalWidth, element.clientHeight / naturalHeight);
  }

  const ratio = (viewer) => viewer.panzoom.getScale() * fitRatio(viewer);
  const isFit = (viewer) => Math.abs(viewer.panzoom.getScale() - 1) < 0.001;
  const keeps = () => localStorage.getItem(KEEP) === "1";
  const hidesBoxes = () => localStorage.getItem(HIDDEN) === "1";

  // The image's edges stay outside of the stage when it is larger, and in its middle when it is smaller.
  function settle(viewer) {
    const { panzoom, element } = viewer;
    const scale = panzoom.getScale();
    const slack = Math.max(0, (scale - 1) / (2 * scale));
    const clamp = (value, size) => Math.min(Math.max(value, -slack * size), slack * size);
    const { x, y } = panzoom.getPan();
    panzoom.pan(clamp(x, element.clientWidth), clamp(y, element.clientHeight), { force: true });
    tell(viewer);
  }

  // Zooms so that the point under the pointer, or else the middle, stays where it is.
  function zoomToScale(viewer, scale, point = viewer.pointer) {
    const box = viewer.element.getBoundingClientRect();
    const x = point ? point.clientX - box.left - box.width / 2 : 0;
    const y = point ? point.clientY - box.top - box.height / 2 : 0;
    const least = Math.min(1, 1 / fitRatio(viewer));
    const to = Math.min(Math.max(scale, least), Math.max(1, MOST / fitRatio(viewer)));
    viewer.panzoom.zoom(to, { focal: { x: x * to, y: y * to }, animate: false });
    settle(viewer);
  }

  // Shows the percentage and which button is pressed, and remembers the zoom to keep.
  function tell(viewer) {
    const now = ratio(viewer);
    if (keeps()) localStorage.setItem(LAST, isFit(viewer) ? "fit" : String(now));
    for (const label of document.querySelectorAll("[data-zoom-percent]")) {
      label.textContent = `${Math.round(now * 100)}\u00a0%`;
    }
    for (const button of document.querySelectorAll("[data-zoom][aria-pressed]")) {
      const wanted = button.dataset.zoom;
      const on = { fit: isFit(viewer), keep: keeps(), boxes: !hidesBoxes() }[wanted] ?? Math.abs(now - Number(wanted)) < 0.005;
      button.setAttribute("aria-pressed", String(on));
    }
  }

  function start(viewer) {
    const last = keeps() ? localStorage.getItem(LAST) : null;
    viewer.panzoom.zoom(1, { animate: false, force: true });
    if (last && last !== "fit") zoomToScale(viewer, Number(last) / fitRatio(viewer), null);
    else settle(viewer);
  }

  // Makes a `.viewer` with an image work; an element known already, with the same image, is left alone.
  function attach(element) {
    const image = element.querySelector("img");
    if (!image || viewers.get(element)?.image === image) return;
    viewers.get(element)?.panzoom.destroy();
    // The limits of zoomToScale hold; Panzoom's own are as wide as they are because it checks them as well.
    const options = { minScale: 0.01, maxScale: 400, cursor: "grab", step: 0.3, panOnlyWhenZoomed: true };
    const viewer = { element, image, panzoom: window.Panzoom(image, options), pointer: null };
    viewers.set(element, viewer);
    latest = element;
    image.draggable = false;
    image.addEventListener("load", () => start(viewer));
    image.addEventListener("panzoomend", () => settle(viewer));
    const boxes = element.querySelector(".boxes");  // lies over the image and moves with it
    if (boxes) image.addEventListener("panzoomchange", () => { boxes.style.transform = image.style.transform; });
    element.classList.toggle("no-boxes", hidesBoxes());
    if (element.dataset.zoomReady === undefined) listen(element);
    if (image.complete) start(viewer);
  }

  function listen(element) {
    element.dataset.zoomReady = "";
    const viewer = () => viewers.get(element);
    element.addEventListener("pointermove", (event) => { viewer().pointer = event; });
    element.addEventListener("pointerleave", () => { viewer().pointer = null; });
    element.addEventListener("wheel", (event) => {
      event.preventDefault();
      const steps = Math.min(Math.max(-event.deltaY / 100, -2), 2);
      zoomToScale(viewer(), viewer().panzoom.getScale() * STEP ** steps, event);
    }, { passive: false });
    new ResizeObserver(() => { if (element.isConnected) settle(viewer()); }).observe(element);
  }

  function attachAll() {
    for (const [element, { panzoom }] of viewers) {
      if (!element.isConnected) { panzoom.destroy(); viewers.delete(element); }
    }
    document.querySelectorAll(".viewer").forEach(attach);
  }

  const on = (act) => (...given) => { const viewer = current(); if (viewer) act(viewer, ...given); };
  const zoomIn = on((viewer) => zoomToScale(viewer, viewer.panzoom.getScale() * STEP));
  const zoomOut = on((viewer) => zoomToScale(viewer, viewer.panzoom.getScale() / STEP));
  const fit = on((viewer) => zoomToScale(viewer, 1, null));
  const zoomTo = on((viewer, share) => zoomToScale(viewer, share / fitRatio(viewer)));
  const pan = on((viewer, x, y) => {
    const scale = viewer.panzoom.getScale();
    viewer.panzoom.pan(x / scale, y / scale, { relative: true });
    settle(viewer);
  });
  const toggleKeep = on((viewer) => {
    localStorage.setItem(KEEP, keeps() ? "0" : "1");
    tell(viewer);
  });

  const toggleBoxes = on((viewer) => {
    localStorage.setItem(HIDDEN, hidesBoxes() ? "0" : "1");
    viewer.element.classList.toggle("no-boxes", hidesBoxes());
    tell(viewer);
  });

  const KEYS = {
    "+": zoomIn, "=": zoomIn, "-": zoomOut, "−": zoomOut, 0: fit, z: toggleKeep, b: toggleBoxes,
    1: () => zoomTo(1), 2: () => zoomTo(2), 3: () => zoomTo(4),
    ArrowLeft: () => pan(PAN, 0), ArrowRight: () => pan(-PAN, 0),
    ArrowUp: () => pan(0, PAN), ArrowDown: () => pan(0, -PAN),
  };

  // Does what the event's key stands for; false if it is none of the viewer's keys or no image is shown.
  function key(event) {
    const act = event.ctrlKey || event.metaKey || event.altKey ? undefined : KEYS[event.key];
    if (!act || !current()) return false;
    act();
    return true;
  }

  // Beside the image its keys always work; on the review page everywhere but in fields, scrolled text and dialogs.
  const ELSEWHERE = "input, textarea, select, dialog, [tabindex]";
  document.addEventListener("keydown", (event) => {
    const near = event.target.closest(".viewer, .tools");
    const wide = current()?.element.closest(".review") && !event.target.closest(ELSEWHERE);
    if (!event.defaultPrevented && (near || wide) && key(event)) event.preventDefault();
  });

  const BUTTONS = { in: zoomIn, out: zoomOut, fit, keep: toggleKeep, boxes: toggleBoxes };
  document.addEventListener("click", (event) => {
    const wanted = event.target.closest("[data-zoom]")?.dataset.zoom;
    if (wanted) (BUTTONS[wanted] ?? (() => zoomTo(Number(wanted))))();
  });

  for (const event of ["DOMContentLoaded", "htmx:after:process", "htmx:after:swap"]) {
    document.addEventListener(event, attachAll);
  }
  if (document.readyState !== "loading") attachAll();

  (window.ipath ??= {}).viewer = { attach, attachAll, zoomIn, zoomOut, fit, zoomTo, pan, toggleKeep, key };
})();
