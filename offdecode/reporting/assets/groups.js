// The table of groups.

const COLUMNS = [
  ["group", "Group", (value) => name(value)],
  ["why", "Worth a look", (value) => word(value) || ""],
  ["group_type", "Type", (value) => word(value)],
  ["state", "State", (value) => word(value)],
  ["members", "Members", number],
  ["partitions", "Partitions", number],
  ["commits", "Commits", number],
  ["generations", "Generations", number],
  ["most_generations_an_hour", "Most an hour", number],
  ["rewinds", "Rewinds", number],
  ["reset_likes", "Like resets", number],
  ["jumps", "Jumps", number],
  ["deleted", "Deleted", number],
  ["without_effect", "No effect", number],
  ["last_record", "Last record", time],
];
const TEXTS = new Set(["group", "group_type", "state", "why"]);
const AT = Object.fromEntries(page.groups.columns.map((column, index) => [column, index]));
const STEP = 50;

const table = { by: null, down: true, sought: "", shown: STEP };

function sortKey(row) {
  const value = row[AT[table.by]];
  return value === null ? null : TEXTS.has(table.by) ? word(value).toLowerCase() : Number(value);
}

function groupsFound() {
  const sought = table.sought.toLowerCase();
  const found = page.groups.rows.map((row, index) => ({ row, index }))
    .filter(({ row }) => !sought || (name(row[AT.group]) + "\n" + (word(row[AT.why]) || "")).toLowerCase().includes(sought));
  if (table.by === null) return found; // notable first
  const keyed = found.map((one) => [sortKey(one.row), one]);
  keyed.sort(([a], [b]) => (a === null) - (b === null) || (table.down ? -1 : 1) * ((a > b) - (a < b)));
  return keyed.map(([, one]) => one);
}

function drawGroups() {
  const found = groupsFound();
  $("groups-body").replaceChildren(...found.slice(0, table.shown).map(({ row, index }) =>
    el("tr", { "data-group": index, "aria-current": index === chosen.group ? "true" : null },
      ...COLUMNS.map(([column, , show]) => {
        const value = row[AT[column]];
        const text = value === null ? "" : show(value);
        if (column === "group")
          return el("th", { scope: "row" }, el("a", { href: "#g" + index }, text));
        return el("td", { class: TEXTS.has(column) ? (column === "why" ? "why" : null) : "number" }, text);
      }))));
  $("groups-count").textContent =
    found.length === page.groups.rows.length ? plural(found.length, "group") : number(found.length) + " of " +
      plural(page.groups.rows.length, "group");
  $("groups-more").hidden = found.length <= table.shown;
  for (const header of $("groups-head").children) {
    const own = header.dataset.column === table.by;
    header.setAttribute("aria-sort", own ? (table.down ? "descending" : "ascending") : "none");
  }
}

function groups() {
  $("groups-head").replaceChildren(...COLUMNS.map(([column, title]) =>
    el("th", { scope: "col", "data-column": column, class: TEXTS.has(column) ? null : "number" },
      el("button", { type: "button", onclick: () => {
        table.down = table.by === column ? !table.down : !TEXTS.has(column);
        table.by = column;
        drawGroups();
      } }, title))));
  $("groups-search").addEventListener("input", (event) => {
    table.sought = event.target.value;
    table.shown = STEP;
    drawGroups();
  });
  $("groups-more").addEventListener("click", () => {
    table.shown += 200;
    drawGroups();
  });
  $("groups-notable").addEventListener("click", () => {
    table.by = null;
    drawGroups();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && !/^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement.tagName)) {
      event.preventDefault();
      $("groups-search").focus();
    }
  });
  drawGroups();
}
