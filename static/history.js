// Lines of measurements over time. The data stand in the page as JSON; the table below them says the same in short.
(function () {
  "use strict";

  const COLOURS = ["--tblr-primary", "--tblr-orange", "--tblr-teal", "--tblr-pink", "--tblr-cyan", "--tblr-lime", "--tblr-purple", "--tblr-red"];
  const HEIGHT = 170;
  const DAY = 86400;
  const plots = new Map();

  function resolved(names) {
    const probe = document.createElement("span");
    document.body.appendChild(probe);
    // Custom properties may hold light-dark(…), which only a property that is a colour resolves.
    const found = names.map((name) => { probe.style.color = `var(${name})`; return getComputedStyle(probe).color; });
    probe.remove();
    return found;
  }

  function clock(seconds, span) {
    const date = new Date(seconds * 1000);
    const day = date.toLocaleDateString("en-GB", { timeZone: "UTC", day: "numeric", month: "short" });
    const time = date.toLocaleTimeString("en-GB", { timeZone: "UTC", hour: "2-digit", minute: "2-digit" });
    if (span > 2 * DAY) return { tick: day, full: `${day} ${time}` };
    return { tick: time, full: span > DAY / 2 ? `${day} ${time}` : time };
  }

  function short(value) {
    if (value === null || value === undefined) return "";
    return value !== 0 && Math.abs(value) < 10 ? String(Number(value.toFixed(2))) : value.toFixed(0);
  }

  function lastPoint(plot) {
    if (plot.cursor.idx !== null && plot.cursor.idx !== undefined) return;
    const newest = plot.data[0].findLastIndex((_, index) => plot.data.slice(1).some((values) => values[index] !== null));
    plot.setLegend({ idx: Math.max(newest, 0) }, false);
  }

  function lines(chart, colours) {
    const drawn = chart.series.map((one, index) => ({
      label: one.label,
      stroke: colours[index % colours.length],
      dash: index >= colours.length ? [6, 4] : undefined,
      values: one.mean,
    }));
    // Of one thing alone there is room for the peaks that an average hides.
    if (chart.series.length === 1 && !chart.counts) drawn.push({ label: "Peak", stroke: colours[0], dash: [2, 4], values: chart.series[0].most });
    return drawn;
  }

  function range(unit) {
    return (_, low, high) => (unit === "%" ? [0, 100] : [unit === "°C" && low > 20 ? 20 : 0, high > 0 ? high * 1.15 : 1]);
  }

  function options(box, chart, drawn, times) {
    const [quiet, line] = resolved(["--quiet", "--line"]);
    const font = `12px ${getComputedStyle(document.body).fontFamily}`;
    const span = times[times.length - 1] - times[0];
    return {
      width: Math.max(box.clientWidth, 200),
      height: HEIGHT,
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "UTC"),
      padding: [8, 22, 0, 0],
      cursor: { y: false, drag: { x: false, y: false }, sync: { key: "history" } },
      hooks: { ready: [lastPoint], setCursor: [lastPoint] },
      legend: { show: true, live: true },
      scales: { x: { time: true, range: () => [times[0], times[times.length - 1]] }, y: { range: range(chart.unit) } },
      axes: [
        { stroke: quiet, grid: { show: false }, ticks: { show: false }, font, space: 70, size: 24, values: (_, splits) => splits.map((at) => clock(at, span).tick) },
        { stroke: quiet, grid: { stroke: line, width: 1 }, ticks: { show: false }, font, size: 46, space: 36, values: (_, splits) => splits.map(short) },
      ],
      series: [
        { label: "Time", value: (_, at) => (at === null || at === undefined ? "" : clock(at, span).full) },
        ...drawn.map((one) => ({
          label: one.label,
          stroke: one.stroke,
          dash: one.dash,
          width: 1.5,
          paths: chart.counts ? uPlot.paths.bars({ size: [0.9, 8, 2] }) : undefined,
          fill: chart.counts ? one.stroke : undefined,
          points: { show: !chart.counts && one.values.filter((value) => value !== null).length < 3 },
          value: (_, value) => (value === null || value === undefined ? "–" : `${short(value)} ${chart.unit}`),
        })),
      ],
    };
  }

  function draw(box, data) {
    const chart = data.charts[box.dataset.history];
    const drawn = lines(chart, resolved(COLOURS));
    if (plots.has(box)) plots.get(box).destroy();
    plots.set(box, new uPlot(options(box, chart, drawn, data.times), [data.times, ...drawn.map((one) => one.values)], box));
  }

  function drawAll() {
    for (const [box, plot] of plots) if (!box.isConnected) { plot.destroy(); plots.delete(box); }
    const source = document.getElementById("history-data");
    if (!source) return;
    const data = JSON.parse(source.textContent);
    for (const box of document.querySelectorAll("[data-history]")) draw(box, data);
  }

  let wasOpen = false;
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (event.detail.target.id === "history") wasOpen = Boolean(event.detail.target.querySelector("details[open]"));
  });
  document.addEventListener("htmx:afterSettle", (event) => {
    if (event.detail.elt.id !== "history") return;
    const details = event.detail.elt.querySelector("details");
    if (details && wasOpen) details.open = true;
    drawAll();
  });
  document.addEventListener("DOMContentLoaded", () => {
    drawAll();
    new MutationObserver(drawAll).observe(document.documentElement, { attributeFilter: ["data-bs-theme"] });
    window.addEventListener("resize", () => {
      for (const [box, plot] of plots) plot.setSize({ width: Math.max(box.clientWidth, 200), height: HEIGHT });
    });
  });
})();
