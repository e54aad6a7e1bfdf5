// What is there from the start, and what the reader chooses.

function repaint() {
  paintAll();
  if (chosen.data) {
    $("group-facts").replaceChildren(facts());
    marksTable();
  }
  drawGroups();
  $("range").textContent = rangeWords();
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  repaint();
}

const dark = matchMedia("(prefers-color-scheme: dark)");
const systemTheme = () => (dark.matches ? "dark" : "light");

function start() {
  document.documentElement.dataset.theme = systemTheme();
  dark.addEventListener("change", () => setTheme(systemTheme()));
  $("theme").addEventListener("click", () =>
    setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"));
  $("zone").addEventListener("change", (event) => {
    zone = event.target.value;
    repaint();
  });
  $("print").addEventListener("click", () => print());
  zoomButtons();
  $("group-zoom").addEventListener("click", zoomToGroup);
  groups();
  overview();
  if (page.groups.rows.length) showGroup(0);
  else $("group").hidden = true;
  followLink();
  addEventListener("hashchange", followLink);
  new ResizeObserver(() => charts.forEach(({ chart }) => chart.resize())).observe($("content"));
  let before = null;
  addEventListener("beforeprint", () => {
    before = document.documentElement.dataset.theme;
    setTheme("light");
    for (const { chart } of charts) {
      chart.resize({ width: 680 });
      chart.getZr().flush(); // paper does not wait for the next frame
    }
  });
  addEventListener("afterprint", () => {
    setTheme(before);
    charts.forEach(({ chart }) => chart.resize({ width: "auto" }));
  });
  performance.mark("ready");
  document.documentElement.dataset.ready = "true";
}

start();
