// Curves of runs by uPlot: on a run's page as they grow, on the page of several one over the other.
// A chart names its lines in data-lines: of which run, from "steps" or "epochs", the column, a label, a colour's token.
(() => {
  "use strict";

  const POLL = 2000;
  const runs = new Map(
    [...document.querySelectorAll("[data-curves-of]")].map((one) => [one.dataset.curvesOf, { url: one.dataset.url, open: true }]),
  );
  let charts = [];
  if (!runs.size) return;

  // --- data ---------------------------------------------------------------------------------

  async function load(run) {
    const after = run.steps?.step.at(-1) ?? -1;
    const answer = await fetch(`${run.url}?${new URLSearchParams({ after, written: run.written ?? "" })}`);
    if (!answer.ok) return;
    const found = await answer.json();
    const border = run.steps?.step.findIndex((step) => step > found.after) ?? -1;  // from here they were done again
    const kept = (name) => (border < 0 ? run.steps?.[name] ?? [] : run.steps[name].slice(0, border));
    const grown = Object.entries(found.steps).map(([name, column]) => [name, [...kept(name), ...column]]);
    Object.assign(run, found, { steps: Object.fromEntries(grown) });
  }

  const epochAt = (run, step) => (step + 1) / (run.steps_per_epoch || 1);

  function points(chart, { run: id, from, name }) {
    const run = runs.get(id);
    const columns = run?.[from];
    if (!columns) return [[], []];
    const at = chart.box.dataset.x === "epoch" ? columns.step.map((step) => epochAt(run, step)) : columns.step;
    return [at, columns[name]];
  }

  function joined(chart) {
    const tables = chart.lines.map((line) => points(chart, line));
    return uPlot.join(tables);
  }

  // --- drawing ------------------------------------------------------------------------------

  const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const DASHES = { solid: undefined, dashed: [6, 4], dotted: [2, 3] };

  // As short as it can be: 0.00001 → 1e-5, 12345678 → 12.3 M.
  function short(value) {
    if (value == null) return "–";
    const size = Math.abs(value);
    if (size >= 1e9) return `${+(value / 1e9).toPrecision(3)} G`;
    if (size >= 1e6) return `${+(value / 1e6).toPrecision(3)} M`;
    if (size && size < 1e-3) return value.toExponential(1).replace(".0", "");
    return `${+value.toPrecision(4)}`;
  }

  // A share is written in percent.
  const said = ({ box }, value) => (value != null && box.dataset.unit === "percent" ? `${short(100 * value)} %` : short(value));

  // What the legend says of a line: under the pointer what stands there, else the newest.
  const told = (chart, value, at) => said(chart, value ?? (chart.box.matches(":hover") ? null : chart.plot?.data[at].findLast((one) => one != null)));

  const WHOLE = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000];

  function draw(chart) {
    chart.plot?.destroy();
    const ink = token("text3");
    const grid = { stroke: token("grid"), width: 1 };
    const font = `11px ${getComputedStyle(document.body).fontFamily}`;
    const axis = { stroke: ink, grid, ticks: grid, font };
    const scales = { x: { time: false } };
    const options = {
      width: chart.box.clientWidth,
      height: +chart.box.dataset.height,
      scales,
      axes: [
        { ...axis, size: 30, ...(chart.box.dataset.x === "epoch" && { incrs: WHOLE }) },
        { ...axis, size: 52, space: 20, values: (_plot, values) => values.map((value) => said(chart, value)) },
      ],
      series: [
        { label: chart.box.dataset.x, value: (_plot, value) => (chart.box.dataset.x === "epoch" ? short(value) : value?.toLocaleString("en") ?? "–") },
        ...chart.lines.map((line) => ({
          label: line.label,
          stroke: token(line.colour),
          width: 1.75,
          dash: DASHES[line.dash ?? "solid"],
          spanGaps: true,
          points: { show: line.from === "epochs", size: 5 },
          value: (_plot, value, at) => told(chart, value, at),
        })),
      ],
    };
    chart.plot = new uPlot(options, joined(chart), chart.box);
  }

  // The legend reads the newest values while no pointer asks for others.
  const tellLast = ({ box, plot }) =>
    requestAnimationFrame(() => {
      if (plot.data[0].length && !box.matches(":hover")) plot.setLegend({ idx: plot.data[0].length - 1 });
    });

  async function follow() {
    await Promise.all([...runs.values()].filter((run) => run.open).map((run) => load(run).catch(() => {})));
    charts.forEach((chart) => {
      if (chart.plot) chart.plot.setData(joined(chart));
      else draw(chart);
      tellLast(chart);
    });
    if ([...runs.values()].some((run) => run.open)) setTimeout(follow, POLL);
  }

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => charts.forEach((chart) => (draw(chart), tellLast(chart))));
  const watcher = new ResizeObserver((entries) => {
    for (const { target, contentRect } of entries) {
      const chart = charts.find(({ box }) => box === target);
      if (chart?.plot && contentRect.width) chart.plot.setSize({ width: contentRect.width, height: +target.dataset.height });
    }
  });

  // Charts come into the page with the first step and the first epoch; where a run starts anew, they go and come again.
  function begin() {
    const boxes = [...document.querySelectorAll("[data-lines]")];
    if (boxes.every((box) => charts.some((chart) => chart.box === box))) return;
    const isFollowed = charts.length > 0;
    watcher.disconnect();
    charts.forEach(({ plot }) => plot?.destroy());
    charts = boxes.map((box) => ({ box, lines: JSON.parse(box.dataset.lines) }));
    boxes.forEach((box) => watcher.observe(box));
    if (isFollowed) charts.forEach((chart) => (draw(chart), tellLast(chart)));
    else follow();
  }

  document.addEventListener("htmx:after:swap", begin);
  begin();
})();
