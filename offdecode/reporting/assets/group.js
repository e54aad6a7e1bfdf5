// One group: who held which partition, its generations, its offsets, and each movement that is out of the ordinary.

const chosen = { group: null, data: null, lines: [], holders: 0, marks: 100, generations: 50, partitions: 20, kinds: null };
const LINES_AT_ONCE = 6;
const HOLDERS_AT_ONCE = 40;

const CUT = new Set(page.cut); // words that are too long to be here whole
const MARK_FIELDS = page.mark_fields;
const GENERATION_FIELDS = page.generation_fields;
const asObject = (fields, values) => Object.fromEntries(fields.map((field, index) => [field, values[index]]));

function read(index) {
  const data = json("group-" + index);
  const row = asObject(page.groups.columns, page.groups.rows[index]);
  return {
    ...data, row, index,
    lines: data.lines.map(([topic, partition, times, offsets, places, lag, ends], at) => ({
      topic, partition, at, times: summed(times), offsets: summed(offsets), places: summed(places), lag, ends,
      title: placeWords(topic, partition),
    })),
    marks: data.marks.map((values, at) => ({ ...asObject(MARK_FIELDS, values), at })),
    generations: data.generations.map((values) => asObject(GENERATION_FIELDS, values)),
  };
}

const placeWords = (topic, partition) => name(topic) + "-" + partition;

const memberWords = (member) => {
  const [id, instance, client, host] = member;
  return [instance === null ? null : "static " + name(instance), client === null ? null : name(client),
    host === null ? null : name(host), name(id)].filter((one) => one !== null).join(" · ");
};
// The client's name where it tells members from each other, else the end of the member's id.
function memberShorts(members) {
  const clients = new Set(members.map((member) => member[1] ?? member[2]));
  const told = clients.size > members.length / 2;
  return members.map((member) => (told ? name(member[1] ?? member[2] ?? member[0]) : name(member[0]).slice(-12)));
}
const COLOR_COUNT = 10;
const memberColor = (index) => css("--member-" + (index % COLOR_COUNT));

function commandOf(mark) {
  const { row } = chosen.data;
  const group = CUT.has(row.group) ? [] : ["--group", quoted(words[row.group])];
  const topic = CUT.has(mark.topic) ? [] : ["--topic", quoted(words[mark.topic])];
  const place = mark.log_offset === null ? "null" : exact(mark.log_offset);
  return [page.explain, ...group, ...topic, "--partition", mark.partition,
    "| jq -c 'select(.log_partition == " + (row.log_partition ?? "null") + " and .log_offset == " + place + ")'"].join(" ");
}

const rawCommand = (mark) =>
  [page.decode, "--from-offset", exact(mark.log_offset), "--to-offset", exact(mark.last_log_offset ?? mark.log_offset),
    chosen.data.row.log_partition === null ? "" : "--log-partition " + chosen.data.row.log_partition].join(" ").trim();

const kindOf = (mark) => word(mark.kind);
const markTime = (mark) => mark.decided_log_timestamp ?? mark.log_timestamp;
const markTitle = (mark) => MARKS[kindOf(mark)].words + (mark.cause === null ? "" : ": " + word(mark.cause));

function markLines(mark) {
  return [
    el("b", null, markTitle(mark)), placeWords(mark.topic, mark.partition),
    exact(mark.before) + " → " + (mark.after === null ? "deleted" : exact(mark.after)), bothTimes(mark.log_timestamp),
    mark.decided_log_timestamp === null ? null : "decided " + bothTimes(mark.decided_log_timestamp),
    "log offset " + exact(mark.log_offset), word(mark.confidence) + " confidence",
    mark.signals.length ? "because: " + mark.signals.map(word).join(", ") : null,
  ].filter((one) => one !== null);
}

// ---- who held which partition

function holderRows() {
  const rows = new Map();
  for (const bar of chosen.data.bars) {
    const key = placeWords(bar[0], bar[1]);
    if (!rows.has(key)) rows.set(key, []);
    rows.get(key).push(bar);
  }
  for (const [topic, partition] of chosen.data.hidden) {
    const key = placeWords(topic, partition);
    if (!rows.has(key)) rows.set(key, []);
  }
  const order = (key) => { const cut = key.lastIndexOf("-"); return [key.slice(0, cut), Number(key.slice(cut + 1))]; };
  return [...rows].sort(([a], [b]) => {
    const [[x, m], [y, n]] = [order(a), order(b)];
    return x < y ? -1 : x > y ? 1 : m - n;
  });
}

function holders() {
  const every = holderRows();
  const rows = every.slice(chosen.holders, chosen.holders + HOLDERS_AT_ONCE);
  const { generations, members, row } = chosen.data;
  const section = $("holders");
  dropCharts(section);
  const shorts = memberShorts(members);
  const box = el("div", { id: "holders-chart", class: "chart" });
  const timed = generations.filter((one) => one.log_timestamp !== null);
  if (!rows.length && !timed.length) {
    section.replaceChildren(el("h3", null, "Members and partitions"), el("p", { class: "quiet" },
      "The evidence holds no generation with a time: a group that only commits (its members assign partitions " +
      "themselves), or one whose records are gone."));
    return;
  }
  const height = Math.max(rows.length * 18, rows.length ? 24 : 0);
  box.style.height = height + 150 + "px";
  const bars = [];
  rows.forEach(([, own], at) => own.forEach(([, , member, from, to, place, generation]) =>
    bars.push([at, from, to ?? page.to, member, place, generation, to === null ? 1 : 0])));
  const places = new Map(rows.map(([key], at) => [key, at]));
  const hidden = chosen.data.hidden.map(([topic, partition, from, to, count]) =>
    [places.get(placeWords(topic, partition)), from, to ?? page.to, count]).filter(([at]) => at !== undefined);
  const hiddenLines = ([at, from, to, count]) => [el("b", null, rows[at][0]),
    "within this time " + plural(count, "member") + " held it more shortly than is drawn", "from " + bothTimes(from), "to " + bothTimes(to)];
  const barLines = ([at, from, to, member, place, generation, open]) => [
    el("b", null, rows[at][0]), memberWords(members[member]), "from " + bothTimes(from),
    open ? "to the end of the evidence" : "to " + bothTimes(to), "held for " + duration(to - from),
    generation === null ? null : "generation " + generation, "log offset " + exact(place),
  ].filter((one) => one !== null);
  const generationLines = (one) => [
    el("b", null, (row.group_type !== null && word(row.group_type) !== "classic" ? "epoch " : "generation ") +
      exact(one.generation) + ", " + word(one.state)),
    plural(one.members, "member"), bothTimes(one.log_timestamp), "log offset " + exact(one.log_offset),
    changeWords(one), one.missing_before ? plural(one.missing_before, "generation") + " missing before it" : null,
  ].filter((text) => text !== null && text !== "");
  const labels = rows.map(([key]) => key);
  const draw = () => ({
    grid: [
      { ...GRID, left: 150, top: 10, height },
      { ...GRID, left: 150, top: height + 28, height: 80 },
    ],
    xAxis: [timeAxis(0, false), timeAxis(1, true)],
    yAxis: [
      { type: "category", gridIndex: 0, data: labels, inverse: true, axisTick: { show: false },
        axisLabel: { ...axisText(), width: 138, overflow: "truncate", interval: 0 }, axisLine: { lineStyle: { color: css("--line") } } },
      { type: "value", gridIndex: 1, name: "members", nameLocation: "middle", nameRotate: 0, nameGap: 90, minInterval: 1,
        splitNumber: 3, nameTextStyle: axisText(), axisLabel: axisText(), splitLine: { lineStyle: { color: css("--grid") } } },
    ],
    dataZoom: zoomers(2, false),
    tooltip: tooltip((found) => found.componentType !== "series" ? null : tip(found.seriesName === "held"
      ? barLines(found.value) : found.seriesName === "hidden" ? hiddenLines(found.value)
      : generationLines(timed[found.dataIndex])), { trigger: "item" }),
    series: [
      { type: "custom", name: "hidden", xAxisIndex: 0, yAxisIndex: 0, clip: true, encode: { x: [1, 2], y: 0 }, data: hidden,
        renderItem: (_, api) => {
          const from = api.coord([api.value(1), api.value(0)]);
          const to = api.coord([api.value(2), api.value(0)]);
          return { type: "rect", shape: { x: from[0], y: from[1] - 3, width: Math.max(to[0] - from[0], 1.5), height: 6 },
            style: { fill: css("--grid"), stroke: css("--line"), lineWidth: 0.5 } };
        } },
      { type: "custom", name: "held", xAxisIndex: 0, yAxisIndex: 0, clip: true, encode: { x: [1, 2], y: 0 }, data: bars,
        renderItem: (params, api) => {
          const from = api.coord([api.value(1), api.value(0)]);
          const to = api.coord([api.value(2), api.value(0)]);
          const shape = echarts.graphic.clipRectByRect(
            { x: from[0], y: from[1] - 7, width: Math.max(to[0] - from[0], 1.5), height: 14 },
            { x: params.coordSys.x, y: params.coordSys.y, width: params.coordSys.width, height: params.coordSys.height });
          if (!shape) return null;
          return {
            type: "rect", shape, style: { fill: memberColor(api.value(3)), stroke: css("--card"), lineWidth: 1 },
            textContent: shape.width < 40 ? undefined : { style: { text: shorts[api.value(3)], fill: css("--on-bar"),
              fontSize: 11, width: shape.width - 8, overflow: "truncate" } },
            textConfig: { position: "insideLeft" },
          };
        } },
      { type: "line", name: "members", xAxisIndex: 1, yAxisIndex: 1, step: "end", symbolSize: 6, showAllSymbol: true,
        lineStyle: { color: css("--generation"), width: 1.2 }, itemStyle: { color: css("--generation") },
        data: timed.map((one) => [one.log_timestamp, one.members]),
        markArea: hiddenBands(row.log) },
    ],
  });
  const moreRows = every.length > HOLDERS_AT_ONCE && el("p", null,
    el("button", { type: "button", disabled: chosen.holders === 0, onclick: () => {
      chosen.holders -= HOLDERS_AT_ONCE;
      holders();
    } }, "Earlier partitions"), " ",
    el("button", { type: "button", disabled: chosen.holders + HOLDERS_AT_ONCE >= every.length, onclick: () => {
      chosen.holders += HOLDERS_AT_ONCE;
      holders();
    } }, "Later partitions"),
    el("span", { class: "quiet" }, ` ${chosen.holders + 1} to ${chosen.holders + rows.length} of ${number(every.length)}`));
  section.replaceChildren(
    el("h3", null, "Members and partitions"),
    el("p", { class: "quiet" },
      "A bar begins with the record by which the member held the partition, as the group's generations tell it. ",
      chosen.data.hidden_bars ? plural(chosen.data.hidden_bars, "bar") + " that would be the shortest are not drawn one by one: thin grey bars tell where. " : "",
      chosen.data.one_in > 1 ? "One in " + chosen.data.one_in + " of " + plural(chosen.data.generation_count, "generation") + " is drawn." : ""),
    box, moreRows || "",
    el("details", null, el("summary", null, "Members (" + number(members.length) + ")"),
      el("ul", { class: "members" }, ...members.slice(0, 200).map((member, index) =>
        el("li", null, el("i", { class: "swatch member-" + (index % COLOR_COUNT) }), " ", memberWords(member)))),
      members.length > 200 ? el("p", { class: "quiet" }, "and " + number(members.length - 200) + " more") : ""),
    generationTable(),
  );
  addChart(box, plural(rows.length, "partition") + " by who held them, and " + plural(timed.length, "generation"), draw);
}

function changeWords(one) {
  const parts = [];
  const named = (list, count) => list.map(name).join(", ") + (count > list.length ? " and " + number(count - list.length) + " more" : "");
  if (one.joined_count) parts.push(number(one.joined_count) + " joined: " + named(one.joined, one.joined_count));
  if (one.left_count) parts.push(number(one.left_count) + " left: " + named(one.left, one.left_count));
  if (one.replaced_count) parts.push(number(one.replaced_count) + " static restarted");
  if (one.changed_count) parts.push(number(one.changed_count) + " changed what they ask for");
  if (one.gained) parts.push(plural(one.gained, "partition") + " to another member");
  if (one.turned_from !== null) parts.push("was " + word(one.turned_from));
  return parts.join("; ");
}

function generationTable() {
  const { generations } = chosen.data;
  if (!generations.length) return "";
  const body = el("tbody");
  const more = el("button", { type: "button", onclick: () => {
    chosen.generations += 500;
    fill();
  } }, "More");
  const fill = () => {
    body.replaceChildren(...generations.slice(0, chosen.generations).map((one) => el("tr", null,
      el("td", { class: "number" }, exact(one.generation)), el("td", null, time(one.log_timestamp)),
      el("td", { class: "number" }, exact(one.log_offset)), el("td", null, word(one.state)),
      el("td", { class: "number" }, number(one.members)), el("td", null, changeWords(one)),
      el("td", { class: "number" }, one.missing_before ? number(one.missing_before) : ""),
      el("td", { class: "number" }, duration(one.since_previous_ms)))));
    more.hidden = chosen.generations >= generations.length;
  };
  fill();
  return el("details", { id: "generations" },
    el("summary", null, "Generations (" + number(chosen.data.generation_count) + ")"),
    el("div", { class: "scroll", tabindex: "0" }, el("table", null,
      el("thead", null, el("tr", null, ...["Generation", "Time", "Log offset", "State", "Members", "What changed", "Missing before",
        "After"].map((title) => el("th", { scope: "col" }, title)))), body)), more);
}

// ---- offsets over time

const NO_EFFECT = new Set(["aborted", "pending", "overtaken"]);
const heightOfMark = (mark) => Number(mark.after ?? mark.before ?? 0);

// The line through the points that are kept and the marks that took effect; a deletion breaks it.
function lineThrough(line) {
  const found = line.times.map((at, index) => [at, Number(line.offsets[index]), line.places[index], line.offsets[index], index]);
  const known = new Set(line.places.map(String));
  for (const mark of chosen.data.marks) {
    if (mark.topic !== line.topic || mark.partition !== line.partition || NO_EFFECT.has(kindOf(mark))) continue;
    const at = markTime(mark);
    if (at === null) continue;
    if (mark.after === null) found.push([at, null, mark.log_offset, null, Infinity]);
    else if (!known.has(String(mark.log_offset))) found.push([at, Number(mark.after), mark.log_offset, mark.after, Infinity]);
  }
  found.sort((a, b) => a[0] - b[0] || Number(a[2]) - Number(b[2]) || a[4] - b[4]);
  const last = found.at(-1);
  // What was committed last stays in force until the evidence ends.
  if (last && last[1] !== null && last[0] < page.to) found.push({ value: [page.to, ...last.slice(1)], symbol: "none" });
  return found;
}

const valueOf = (point) => point.value ?? point;

function offsets() {
  const section = $("offsets");
  dropCharts(section);
  const { data } = chosen;
  const shown = chosen.lines.map((at) => data.lines[at]);
  const box = el("div", { id: "offsets-chart", class: "chart" });
  section.replaceChildren(
    el("h3", null, "Committed offsets"),
    el("p", { class: "quiet" }, page.resolution_ms > 1 ? "Each line goes through offsets that took effect: of every " + duration(page.resolution_ms) +
      " the first, the last, the least and the greatest. " : "Each line goes through all offsets that took effect. ",
      "Filled marks are of high confidence, pale ones of medium, hollow ones of low. ",
      page.logs[data.row.log].spans.length ? "Shaded: records of these times are missing or were cleaned away, and movements could be hidden there." : ""),
    legend(), box, partitionTable(),
  );
  if (!shown.length) {
    box.replaceWith(el("p", { class: "quiet" }, "No offset of this group is in the evidence."));
    return;
  }
  const each = shown.length === 1 ? 260 : 120;
  box.style.height = shown.length * (each + 30) + 36 + "px";
  const points = shown.map(lineThrough);
  const marks = shown.map((line) => data.marks.filter((mark) =>
    mark.topic === line.topic && mark.partition === line.partition && markTime(mark) !== null));
  const draw = () => ({
    title: shown.map((line, index) => ({ text: line.title, left: 84, top: index * (each + 30) + 2,
      textStyle: { color: css("--text"), fontSize: 12, fontWeight: 600 } })),
    grid: shown.map((_, index) => ({ ...GRID, left: 84, top: index * (each + 30) + 22, height: each })),
    xAxis: shown.map((_, index) => timeAxis(index, index === shown.length - 1)),
    yAxis: shown.map((_, index) => ({ type: "value", gridIndex: index, scale: true, splitNumber: 3,
      axisLabel: { ...axisText(), showMinLabel: false, showMaxLabel: false },
      splitLine: { lineStyle: { color: css("--grid") } } })),
    dataZoom: zoomers(shown.length, false),
    tooltip: tooltip((found) => {
      if (found.componentType !== "series") return null;
      if (found.seriesName === "marks") return tip(markLines(data.marks[found.value[2]]));
      if (found.seriesName === "end") return tip([el("b", null, "end of " + shown[found.seriesIndex % shown.length].title),
        bothTimes(found.value[0]), "at least " + number(found.value[1]) + ", at most " + number(found.value[2])]);
      return tip([el("b", null, shown[found.seriesIndex % shown.length].title), "committed " + exact(found.value[3]),
        bothTimes(found.value[0]), "log offset " + exact(found.value[2])]);
    }, { trigger: "item" }),
    series: [
      ...points.map((own, index) => ({ type: "line", name: "committed", xAxisIndex: index, yAxisIndex: index,
        step: page.resolution_ms > 1 ? false : "end", symbol: "circle", symbolSize: 4, showSymbol: true, showAllSymbol: "auto", connectNulls: false, data: own,
        encode: { x: 0, y: 1 }, lineStyle: { color: css("--commit"), width: 1.6 }, itemStyle: { color: css("--commit") },
        markArea: hiddenBands(data.row.log) })),
      ...shown.map((line, index) => ({ type: "line", name: "end", xAxisIndex: index, yAxisIndex: index, step: "end", symbol: "circle",
        symbolSize: 3, showSymbol: false, data: line.ends, encode: { x: 0, y: 2 },
        lineStyle: { color: css("--quiet"), width: 1, type: "dashed" }, itemStyle: { color: css("--quiet") } })),
      ...marks.map((own, index) => ({ type: "scatter", name: "marks", xAxisIndex: index, yAxisIndex: index, z: 5, clip: true,
        data: own.map((mark) => {
          const look = MARKS[kindOf(mark)];
          const color = css(look.color);
          const sure = word(mark.confidence);
          return { value: [markTime(mark), heightOfMark(mark), mark.at], symbol: look.symbol, symbolRotate: look.rotate || 0,
            symbolSize: 11, itemStyle: { color: sure === "low" ? css("--card") : color, borderColor: color, borderWidth: 1.5,
              opacity: sure === "medium" ? 0.65 : 1 } };
        }) })),
    ],
  });
  // The height of each picture follows what of the line is in sight.
  const zoom = (chart) => chart.setOption({ yAxis: points.map((own, index) => {
    const line = own.map(valueOf);
    const heights = line.filter(([at], place) => at <= range.to && (place + 1 >= line.length || line[place + 1][0] >= range.from))
      .map((point) => point[1]).filter((one) => one !== null);
    for (const mark of marks[index]) if (markTime(mark) >= range.from && markTime(mark) <= range.to) heights.push(heightOfMark(mark));
    for (const [at, , most] of shown[index].ends) if (at >= range.from && at <= range.to) heights.push(Number(most));
    if (!heights.length) return { min: null, max: null };
    const [least, most] = heights.reduce(([low, high], one) => [Math.min(low, one), Math.max(high, one)], [Infinity, -Infinity]);
    const room = Math.max((most - least) * 0.08, 1);
    return { min: Math.floor(least - room), max: Math.ceil(most + room) };
  }) });
  const chart = addChart(box, plural(shown.length, "partition") + ": committed offsets over time, with " +
    plural(marks.flat().length, "mark"), draw, zoom);
  chart.on("click", (event) => {
    if (event.seriesName === "marks") location.hash = "#g" + data.index + "m" + event.value[2];
  });
}

function legend() {
  const kinds = new Set(chosen.data.marks.map(kindOf));
  return el("p", { class: "legend" }, ...Object.keys(MARKS).filter((kind) => kinds.has(kind)).map((kind) =>
    el("span", { class: "key" }, el("i", { class: "swatch kind-" + kind }), " " + MARKS[kind].words)));
}

function partitionTable() {
  const { lines, marks, hidden_lines: hidden } = chosen.data;
  const counts = new Map();
  for (const mark of marks) {
    const key = mark.topic + " " + mark.partition;
    counts.set(key, (counts.get(key) || 0) + 1);
  }
  const body = el("tbody");
  const more = el("button", { type: "button", onclick: () => {
    chosen.partitions += 200;
    fill();
  } }, "More");
  const lags = lines.some((line) => line.lag !== null && line.lag.lag !== null);
  const lagWords = (lag) => lag === null ? "" : lag.lag === null ? lag.signals.map(word).join(", ").replaceAll("_", " ")
    : number(lag.lag) + (lag.lag_most === lag.lag ? "" : " to " + number(lag.lag_most)) +
      (lag.signals.length ? " (" + lag.signals.map(word).join(", ").replaceAll("_", " ") + ")" : "");
  const fill = () => {
    body.replaceChildren(...lines.slice(0, chosen.partitions).map((line) => el("tr", null,
      el("td", null, el("input", { type: "checkbox", "aria-label": "draw " + line.title, checked: chosen.lines.includes(line.at),
        onchange: (event) => {
          chosen.lines = event.target.checked ? [...chosen.lines, line.at].sort((a, b) => a - b)
            : chosen.lines.filter((at) => at !== line.at);
          offsets();
          $("offsets").querySelector(`[aria-label="${CSS.escape(event.target.getAttribute("aria-label"))}"]`)?.focus();
        } })),
      el("th", { scope: "row" }, name(line.topic)), el("td", { class: "number" }, line.partition),
      el("td", { class: "number" }, line.offsets.length ? number(line.offsets.at(-1)) : ""),
      lags && el("td", { class: "number" }, lagWords(line.lag)),
      el("td", { class: "number" }, number(counts.get(line.topic + " " + line.partition) || 0)))));
    more.hidden = chosen.partitions >= lines.length;
  };
  fill();
  return el("details", { id: "partitions", open: lines.length > LINES_AT_ONCE || null },
    el("summary", null, "Partitions (" + number(lines.length + hidden) + ")"),
    hidden ? el("p", { class: "quiet" }, plural(hidden, "partition") + " are not drawn: offdecode explain tells of all.") : "",
    el("div", { class: "scroll", tabindex: "0" }, el("table", null,
      el("thead", null, el("tr", null, ...["Draw", "Topic", "Partition", "Last committed", lags && "Lag at the end", "Marks"]
        .filter((title) => title).map((title) => el("th", { scope: "col" }, title)))), body)), more);
}

// ---- every movement that is out of the ordinary

function marksTable() {
  const { marks, index } = chosen.data;
  const section = $("marks");
  const kinds = [...new Set(marks.map(kindOf))];
  const found = marks.filter((mark) => chosen.kinds === null || chosen.kinds === kindOf(mark));
  section.replaceChildren(el("h3", null, "Movements out of the ordinary"));
  if (!marks.length) {
    section.append(el("p", { class: "quiet" }, "None: every offset of this group only advanced, or was committed again."));
    return;
  }
  const choice = el("select", { id: "marks-kind", onchange: (event) => {
    chosen.kinds = event.target.value || null;
    marksTable();
    $("marks-kind").focus();
  } }, el("option", { value: "" }, "all kinds"), ...kinds.map((kind) =>
    el("option", { value: kind, selected: chosen.kinds === kind }, MARKS[kind].words)));
  const body = el("tbody", { id: "marks-body" }, ...found.slice(0, chosen.marks).map((mark) => el("tr",
    { id: "g" + index + "m" + mark.at, "data-place": exact(mark.log_offset) },
    el("td", null, el("a", { href: "#g" + index + "m" + mark.at, title: bothTimes(mark.log_timestamp) }, time(mark.log_timestamp) || "no time")),
    el("th", { scope: "row" }, placeWords(mark.topic, mark.partition)),
    el("td", null, el("i", { class: "swatch kind-" + kindOf(mark) }), " " + markTitle(mark).replaceAll("_", " ")),
    el("td", { class: "number" }, exact(mark.before)), el("td", { class: "number" }, mark.after === null ? "deleted" : exact(mark.after)),
    el("td", { class: "number" }, number(mark.commits)),
    el("td", null, mark.owner === null ? (word(mark.no_owner_reason) || "").replaceAll("_", " ") : name(mark.owner)),
    el("td", { class: "number" }, exact(mark.generation)),
    el("td", null, word(mark.confidence)), el("td", { class: "signals" }, mark.signals.map(word).join(", ").replaceAll("_", " ")),
    el("td", { class: "number" }, exact(mark.log_offset)))));
  section.append(
    el("p", null, el("label", null, "Show ", choice), el("span", { class: "quiet" }, " " + plural(found.length, "movement"), sparseWords(kinds))),
    el("div", { class: "scroll", tabindex: "0" }, el("table", null,
      el("thead", null, el("tr", null, ...["Time", "Partition", "Movement", "Before", "After", "Commits", "Owner", "Generation",
        "Confidence", "Signals", "Log offset"].map((title) => el("th", { scope: "col" }, title)))), body)),
    found.length > chosen.marks ? el("button", { type: "button", onclick: () => {
      chosen.marks += 500;
      marksTable();
    } }, "More") : "");
}

const sparseWords = (kinds) => kinds.filter((kind) => page.sparse[kind]).map((kind) =>
  `; of ${number(page.sparse[kind][0])} ${MARKS[kind].words} in all groups one in ${page.sparse[kind][1]} is kept`).join("");

function showMark(at) {
  const mark = chosen.data.marks[at];
  if (!mark) return;
  if (at >= chosen.marks || (chosen.kinds !== null && chosen.kinds !== kindOf(mark))) {
    chosen.kinds = null;
    chosen.marks = Math.max(chosen.marks, at + 1);
    marksTable();
  }
  document.querySelectorAll("tr.picked, tr.picked-more").forEach((one) =>
    one.classList.contains("picked-more") ? one.remove() : one.classList.remove("picked"));
  const row = $("g" + chosen.group + "m" + at);
  row.classList.add("picked");
  row.after(el("tr", { class: "picked-more" }, el("td", { colspan: "11" },
    ...markLines(mark).map((line) => el("div", null, line)),
    el("p", null, "This row again, and the record behind it:"), copyable(commandOf(mark)), copyable(rawCommand(mark)))));
  row.scrollIntoView({ block: "center" });
}

function facts() {
  const { row } = chosen.data;
  const shown = [
    ["Type", word(row.group_type)], ["State", word(row.state)], ["Offsets partition", row.log_partition],
    ["Members at the end", number(row.members)], ["Most members", number(row.most_members)],
    ["Clients", row.clients.map(name).join(", ")], ["Hosts", row.hosts.map(name).join(", ")],
    ["Commits", number(row.commits)], ["First commit", time(row.first_commit)], ["Last commit", time(row.last_commit)],
    ["Offsets at the end", number(row.offsets)], ["Would expire", time(row.expires)],
    ["Evidence", row.complete ? "every record of its log partition is here" : "records of its log partition are missing: see below"],
  ].filter(([, value]) => value !== null && value !== "" && value !== undefined);
  return el("dl", { class: "facts" }, ...shown.flatMap(([title, value]) => [el("dt", null, title), el("dd", null, String(value))]));
}

// From the first to the last that is known of the group.
function zoomToGroup() {
  const { lines, marks, generations, bars } = chosen.data;
  let [from, to] = [Infinity, -Infinity];
  const add = (at) => {
    if (at === null || at === undefined) return;
    from = Math.min(from, at);
    to = Math.max(to, at);
  };
  for (const line of lines) [line.times[0], line.times.at(-1)].forEach(add);
  for (const mark of marks) [mark.log_timestamp, markTime(mark)].forEach(add);
  for (const one of generations) add(one.log_timestamp);
  for (const bar of bars) [bar[3], bar[4]].forEach(add);
  if (from > to) return;
  const room = Math.max((to - from) * 0.03, 1);
  setRange(Math.max(from - room, page.from), Math.min(to + room, page.to));
}

function showGroup(index) {
  if (!(index in page.groups.rows)) return;
  const data = read(index);
  Object.assign(chosen, { group: index, data, holders: 0, marks: 100, generations: 50, partitions: 20, kinds: null,
    lines: data.lines.slice(0, LINES_AT_ONCE).map((line) => line.at) });
  $("group-title").textContent = "Group " + name(data.row.group);
  $("group-why").textContent = word(data.row.why) || "Nothing out of the ordinary.";
  $("group-facts").replaceChildren(facts());
  offsets();
  holders();
  marksTable();
  drawGroups();
}

function followLink() {
  const match = /^#g(\d+)(?:m(\d+))?$/.exec(location.hash);
  if (!match) return;
  if (Number(match[1]) !== chosen.group) showGroup(Number(match[1]));
  if (match[2] === undefined) {
    $("group").scrollIntoView();
    $("group-title").focus({ preventScroll: true });
  } else showMark(Number(match[2]));
}
