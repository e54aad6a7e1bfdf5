// Charts that share one range of time, their colours, and what they say to those who cannot see them.

const charts = []; // {chart, draw, zoom}
const range = { from: page.from, to: page.to };
const css = (variable) => getComputedStyle(document.documentElement).getPropertyValue(variable).trim();

const MARKS = {
  rewind: { symbol: "triangle", rotate: 180, color: "--rewind", words: "rewind", counted: ["rewind", "rewinds"] },
  reset_like: { symbol: "diamond", color: "--reset", words: "like a reset", counted: ["move like a reset", "moves like resets"] },
  jump: { symbol: "triangle", color: "--jump", words: "jump", counted: ["jump", "jumps"] },
  tombstone: { symbol: "rect", color: "--tombstone", words: "deleted", counted: ["deleted offset", "deleted offsets"] },
  aborted: { symbol: "path://M0,0 L2,0 L5,3 L8,0 L10,0 L10,2 L7,5 L10,8 L10,10 L8,10 L5,7 L2,10 L0,10 L0,8 L3,5 L0,2 Z",
    color: "--aborted", words: "aborted", counted: ["aborted commit", "aborted commits"] },
  pending: { symbol: "circle", color: "--pending", words: "undecided", counted: ["undecided commit", "undecided commits"] },
  overtaken: { symbol: "pin", color: "--overtaken", words: "overtaken", counted: ["overtaken commit", "overtaken commits"] },
};
const COLORS = { commit: "--commit", generation: "--generation" };
const colorOf = (kind) => css(COLORS[kind] || MARKS[kind].color);

// draw(): the option anew, for other colours or another zone of time. zoom(chart): after the range has changed.
function addChart(box, label, draw, zoom) {
  box.setAttribute("role", "img");
  box.setAttribute("aria-label", label + ". Left and right arrows move, plus and minus zoom, 0 shows all.");
  box.tabIndex = 0;
  const chart = echarts.init(box, null, { renderer: "canvas" });
  const entry = { chart, draw, zoom, box };
  charts.push(entry);
  paint(entry);
  chart.on("datazoom", () => {
    const shown = chart.getOption().dataZoom[0];
    setRange(shown.startValue, shown.endValue);
  });
  box.addEventListener("keydown", onZoomKey);
  return chart;
}

function dropCharts(within) {
  for (const entry of charts.filter((one) => within.contains(one.box))) {
    entry.chart.dispose();
    charts.splice(charts.indexOf(entry), 1);
  }
}

function paint(entry) {
  const option = entry.draw();
  entry.chart.setOption({
    animation: false,
    useUTC: zone === "utc",
    textStyle: { fontFamily: "system-ui, sans-serif" },
    ...option,
  }, true);
  if (entry.zoom) entry.zoom(entry.chart);
}

const paintAll = () => charts.forEach(paint);

let zooming = false;

function setRange(from, to) {
  if (zooming || (from === range.from && to === range.to)) return;
  if (!(to > from)) to = from + 1;
  Object.assign(range, { from, to });
  zooming = true; // the events of the other charts say nothing new
  for (const entry of charts) {
    entry.chart.dispatchAction({ type: "dataZoom", dataZoomIndex: 0, startValue: from, endValue: to });
    if (entry.zoom) entry.zoom(entry.chart);
  }
  zooming = false;
  $("range").textContent = rangeWords();
}

const rangeWords = () =>
  page.from === null ? "no times" : time(Math.round(range.from)) + " to " + time(Math.round(range.to));

function onZoomKey(event) {
  const width = range.to - range.from;
  const moves = {
    ArrowLeft: [-width / 4, -width / 4], ArrowRight: [width / 4, width / 4],
    "+": [width / 4, -width / 4], "=": [width / 4, -width / 4], "-": [-width / 2, width / 2],
  };
  if (event.key === "0" || event.key === "Home") setRange(page.from, page.to);
  else if (moves[event.key]) {
    const [left, right] = moves[event.key];
    zoomBy(left, right);
  } else return;
  event.preventDefault();
}

function zoomBy(left, right) {
  const from = Math.max(page.from, range.from + left);
  const to = Math.min(page.to, range.to + right);
  if (to - from >= 1) setRange(from, to);
}

const axisText = () => ({ color: css("--quiet"), fontSize: 11 });

function timeAxis(gridIndex, last) {
  return {
    type: "time", gridIndex, min: page.from, max: page.to,
    axisLine: { lineStyle: { color: css("--line") } },
    axisTick: { show: last }, axisLabel: { show: last, hideOverlap: true, ...axisText() },
    splitLine: { show: true, lineStyle: { color: css("--grid") } },
    axisPointer: { show: true, type: "line", label: { show: false }, lineStyle: { color: css("--quiet") } },
  };
}

const GRID = { right: 16, outerBoundsMode: "none" };

function zoomers(count, slider) {
  const every = Array.from({ length: count }, (_, index) => index);
  const shown = { xAxisIndex: every, startValue: range.from, endValue: range.to, filterMode: "none" };
  const inside = { type: "inside", ...shown, zoomOnMouseWheel: "ctrl", moveOnMouseWheel: false, preventDefaultMouseMove: false };
  if (!slider) return [inside];
  return [
    { type: "slider", ...shown, bottom: 4, height: 26, showDetail: false, borderColor: css("--line"), fillerColor: css("--brush"),
      brushSelect: true, showDataShadow: false, handleStyle: { color: css("--accent") } },
    inside,
  ];
}

// A tip made of elements: text of the log cannot become markup.
function tip(lines) {
  return el("div", { class: "tip" }, ...lines.map((line) => el("div", null, line)));
}

const tooltip = (formatter, more) => ({
  confine: true, backgroundColor: css("--card"), borderColor: css("--line"), padding: 8,
  textStyle: { color: css("--text"), fontSize: 12 }, formatter, ...more,
});

// Ranges of the log that the evidence does not show whole, as bands behind a chart.
function hiddenBands(log) {
  return {
    silent: true,
    itemStyle: { color: css("--hidden"), borderColor: css("--hidden-edge"), borderWidth: 0.5, borderType: "dashed" },
    data: page.logs[log].spans.map(([, , , from, to]) => [
      { xAxis: Math.max(from ?? page.from, page.from) }, { xAxis: Math.min(to ?? page.to, page.to) },
    ]),
  };
}
