// What happened when, over all groups that are shown.

const ROWS = [
  { title: "commits", kinds: ["commit"], height: 90 },
  { title: "generations", kinds: ["generation"], height: 46 },
  { title: "moved oddly", kinds: ["rewind", "reset_like", "jump"], height: 46 },
  { title: "deleted", kinds: ["tombstone"], height: 46 },
  { title: "no effect", kinds: ["aborted", "pending", "overtaken"], height: 46 },
];
const kindWords = (kind, count) => {
  const [one, many] = { commit: ["commit", "commits"], generation: ["generation", "generations"] }[kind] || MARKS[kind].counted;
  return count === 1 ? one : many;
};

function overview() {
  const starts = summed(page.bars.starts);
  const counts = Object.fromEntries(ROWS.flatMap((row) => row.kinds).map((kind) => [kind, page.bars.counts[kind]])
    .filter(([, own]) => own && own.some((one) => one)));
  const rows = ROWS.map((row) => ({ ...row, kinds: row.kinds.filter((kind) => kind in counts) }))
    .filter((row) => row.kinds.length);
  const box = $("overview-chart");
  if (page.from === null || !rows.length) {
    box.replaceChildren(el("p", { class: "quiet" }, "No commit or generation with a time is in the evidence."));
    return;
  }
  let top = 8;
  const grids = rows.map((row) => {
    const grid = { ...GRID, left: 110, top, height: row.height };
    top += row.height + 14;
    return grid;
  });
  box.style.height = top + 56 + "px";
  const series = [];
  for (const [index, row] of rows.entries()) {
    const base = new Array(starts.length).fill(0);
    for (const kind of row.kinds) {
      const data = [];
      counts[kind].forEach((count, at) => {
        if (!count) return;
        data.push([starts[at], base[at], base[at] + count, count]);
        base[at] += count;
      });
      series.push({ index, kind, data });
    }
  }
  const said = (at) => [
    bothTimes(at), "and the " + duration(page.bars.width) + " from then on:",
    ...Object.keys(counts).map((kind) => [kind, counts[kind][starts.indexOf(at)]])
      .filter(([, count]) => count).map(([kind, count]) => number(count) + " " + kindWords(kind, count)),
  ];
  const draw = () => ({
    grid: grids,
    xAxis: rows.map((_, index) => timeAxis(index, index === rows.length - 1)),
    yAxis: rows.map((row, index) => ({
      gridIndex: index, name: row.title, nameLocation: "middle", nameRotate: 0, nameGap: 70, splitNumber: 2,
      minInterval: 1, nameTextStyle: { ...axisText(), align: "center" }, axisLabel: axisText(),
      splitLine: { lineStyle: { color: css("--grid") } },
    })),
    dataZoom: zoomers(rows.length, true),
    axisPointer: { link: [{ xAxisIndex: "all" }] },
    tooltip: tooltip((found) => {
      const first = [found].flat()[0];
      return first ? tip(said(first.value[0])) : null;
    }, { trigger: "axis" }),
    series: series.map(({ index, kind, data }) => ({
      type: "custom", name: kind, xAxisIndex: index, yAxisIndex: index, data, encode: { x: 0, y: [1, 2] },
      itemStyle: { color: colorOf(kind) }, clip: true,
      renderItem: (_, api) => {
        const from = api.coord([api.value(0), api.value(1)]);
        const to = api.coord([api.value(0) + page.bars.width, api.value(2)]);
        return {
          type: "rect", style: { fill: api.visual("color") },
          shape: { x: from[0], y: to[1], width: Math.max(to[0] - from[0] - 0.5, 1.5), height: Math.max(from[1] - to[1], 1) },
        };
      },
    })),
  });
  const all = (kind) => counts[kind].reduce((sum, one) => sum + one, 0);
  const label = Object.keys(counts).map((kind) => number(all(kind)) + " " + kindWords(kind, all(kind))).join(", ");
  addChart(box, "Over time: " + label, draw);
  $("overview-legend").replaceChildren(...Object.keys(counts).map((kind) =>
    el("span", { class: "key", "data-kind": kind }, el("i", { class: "swatch kind-" + kind }), " ",
      number(all(kind)) + " " + kindWords(kind, all(kind)))));
  $("range").textContent = rangeWords();
}

function zoomButtons() {
  const quarter = () => (range.to - range.from) / 4;
  const buttons = {
    earlier: () => zoomBy(-quarter(), -quarter()), later: () => zoomBy(quarter(), quarter()),
    closer: () => zoomBy(quarter(), -quarter()), farther: () => zoomBy(-2 * quarter(), 2 * quarter()),
    whole: () => setRange(page.from, page.to),
  };
  for (const [id, press] of Object.entries(buttons)) $(id).addEventListener("click", press);
}
