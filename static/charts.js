// Bars of dollars per day, and lines of scores per run. The data stand in the page as JSON; without this script the
// table beside them says the same.
(function () {
  "use strict";

  const MICROS = 1e6;

  function dollars(value) {
    if (value === null || value === undefined) return "";
    return `$${value.toFixed(value === 0 || Math.abs(value) >= 1 ? 2 : 4)}`;
  }

  // As many decimals as tell the lines apart.
  function scale(splits) {
    const step = splits.length > 1 ? splits[1] - splits[0] : 1;
    const places = step >= 1 ? 0 : step >= 0.01 ? 2 : 5;
    return splits.map((value) => `$${value.toFixed(places)}`);
  }

  // The legend tells the day under the pointer, and the last one while there is no pointer.
  function lastDay(plot) {
    if (plot.cursor.idx === null || plot.cursor.idx === undefined) plot.setLegend({ idx: plot.data[0].length - 1 }, false);
  }

  function day(seconds) {
    return new Date(seconds * 1000).toLocaleDateString("en-GB", { timeZone: "UTC", day: "numeric", month: "short" });
  }

  function options(box, colours) {
    return {
      width: Math.max(box.clientWidth, 200),
      height: 220,
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "UTC"),
      padding: [12, 8, 0, 4],
      cursor: { y: false, drag: { x: false, y: false }, points: { show: false } },
      hooks: { ready: [lastDay], setCursor: [lastDay] },
      legend: { show: true, live: true, markers: { show: false } },
      scales: {
        // By the data itself: of a single instant uPlot would make some years.
        x: { time: true, range: ({ data: [instants] }) => [instants[0] - 43200, instants[instants.length - 1] + 43200] },
        y: { range: (_, __, high) => [0, high > 0 ? high * 1.12 : 1] },
      },
      axes: [
        { stroke: colours.quiet, grid: { show: false }, ticks: { show: false }, font: colours.font, space: 60, size: 28, values: (_, splits) => splits.map(day) },
        { stroke: colours.quiet, grid: { stroke: colours.line, width: 1 }, ticks: { show: false }, font: colours.font, size: 64, values: (_, splits) => scale(splits) },
      ],
      series: [
        { label: "Day", value: (_, seconds) => (seconds === null ? "" : day(seconds)) },
        {
          label: box.dataset.label,
          stroke: colours.bar,
          fill: colours.bar,
          width: 0,
          points: { show: false },
          paths: uPlot.paths.bars({ size: [0.64, 42], radius: 0.18, align: 0 }),
          value: (_, value) => dollars(value),
        },
      ],
    };
  }

  function moment(seconds) {
    return `${day(seconds)} ${new Date(seconds * 1000).toLocaleTimeString("en-GB", { timeZone: "UTC", hour: "2-digit", minute: "2-digit" })}`;
  }

  function scoreOptions(box, colours) {
    const plain = options(box, colours);
    const [xAxis, yAxis] = plain.axes;
    return {
      ...plain,
      cursor: { y: false, drag: { x: false, y: false } },
      axes: [xAxis, { ...yAxis, size: 48, values: (_, splits) => splits.map((value) => String(Number(value.toFixed(3)))) }],
      series: [
        { label: "Run", value: (_, seconds) => (seconds === null ? "" : moment(seconds)) },
        {
          label: box.dataset.label,
          stroke: colours.bar,
          width: 2,
          points: { show: true, size: 7 },
          value: (_, value) => (value === null || value === undefined ? "" : value.toFixed(value < 1 ? 3 : 1)),
        },
      ],
    };
  }

  function colours() {
    const style = getComputedStyle(document.documentElement);
    const probe = document.createElement("span");
    document.body.appendChild(probe);
    // Custom properties hold light-dark(…), which only a property that is a colour resolves.
    const resolved = (name) => { probe.style.color = `var(${name})`; return getComputedStyle(probe).color; };
    const found = { quiet: resolved("--quiet"), line: resolved("--line"), bar: style.getPropertyValue("--tblr-primary").trim() };
    probe.remove();
    return { ...found, font: `12px ${getComputedStyle(document.body).fontFamily}` };
  }

  function read(id) {
    return JSON.parse(document.getElementById(id).textContent);
  }

  function drawDollars(box) {
    const data = read(box.dataset.chart);
    draw(box, options, [data.days, data.micros.map((micros) => micros / MICROS)]);
  }

  function drawScores(box) {
    const data = read(box.dataset.scores);
    draw(box, scoreOptions, [data.instants, data.scores]);
  }

  function draw(box, optionsOf, data) {
    let plot = null;
    function redraw() {
      if (plot) plot.destroy();
      plot = new uPlot(optionsOf(box, colours()), data, box);
    }
    redraw();
    new MutationObserver(redraw).observe(document.documentElement, { attributeFilter: ["data-bs-theme"] });
    new ResizeObserver(() => plot.setSize({ width: Math.max(box.clientWidth, 200), height: 220 })).observe(box);
  }

  document.addEventListener("DOMContentLoaded", () => {
    for (const box of document.querySelectorAll("[data-chart]")) drawDollars(box);
    for (const box of document.querySelectorAll("[data-scores]")) drawScores(box);
  });
})();
