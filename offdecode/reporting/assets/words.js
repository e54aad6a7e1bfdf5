// Names, numbers and times as text; elements. Everything from the log is set as text, never as markup.

const $ = (id) => document.getElementById(id);
const json = (id) => JSON.parse($(id).textContent);
const page = json("page-data");
const words = page.words;

const UNSEEN = /[\p{C}\p{Zl}\p{Zp}]|(?! )\p{Zs}/gu;

// Text with control, direction and odd space characters escaped, so that it shows what it is.
function printable(text) {
  return text.replace(UNSEEN, (one) =>
    Array.from(one, (part) => {
      const code = part.codePointAt(0);
      return code < 256
        ? "\\x" + code.toString(16).padStart(2, "0")
        : code < 65536
          ? "\\u" + code.toString(16).padStart(4, "0")
          : "\\U" + code.toString(16).padStart(8, "0");
    }).join(""),
  );
}

const word = (index) => (index === null ? null : words[index]);
const name = (index) => (index === null ? "?" : printable(words[index]) || '""');

// An element. Attributes, then children: text or elements. on*: listeners.
function el(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

// Whole numbers beyond 2^53 come as text, and stay it.
const number = (value) =>
  value === null || value === undefined ? "" : String(value).replace(/\B(?=(\d{3})+(?!\d))/g, ",");
const exact = (value) => (value === null || value === undefined ? "none" : String(value));

let zone = "utc";

function timeIn(ms, inZone) {
  if (ms === null || ms === undefined) return "";
  const date = new Date(ms);
  if (Number.isNaN(date.getTime())) return String(ms);
  if (inZone === "utc") return date.toISOString().replace("T", " ");
  const minutes = -date.getTimezoneOffset();
  const offset =
    (minutes < 0 ? "-" : "+") +
    String(Math.floor(Math.abs(minutes) / 60)).padStart(2, "0") +
    ":" +
    String(Math.abs(minutes) % 60).padStart(2, "0");
  return new Date(ms + minutes * 60000).toISOString().replace("T", " ").replace("Z", offset);
}
const time = (ms) => timeIn(ms, zone);
const bothTimes = (ms) => (ms === null || ms === undefined ? "no time" : timeIn(ms, "utc") + " = " + timeIn(ms, "local"));

function duration(ms) {
  if (ms === null || ms === undefined) return "";
  if (ms < 1000) return ms + " ms";
  if (ms < 120000) return (ms / 1000).toFixed(1) + " s";
  if (ms < 7200000) return Math.round(ms / 60000) + " min";
  if (ms < 172800000) return (ms / 3600000).toFixed(1) + " h";
  return (ms / 86400000).toFixed(1) + " d";
}

const plural = (count, one, many) => number(count) + " " + (count === 1 ? one : many || one + "s");

// A word for a POSIX shell or bash: names may hold anything.
function quoted(text) {
  if (/^[\w@%+=:,./-]+$/.test(text)) return text;
  if (text.search(UNSEEN) < 0) return "'" + text.replaceAll("'", "'\\''") + "'";
  const bytes = new TextEncoder().encode(text);
  return "$'" + Array.from(bytes, (byte) => (byte > 31 && byte < 127 && byte !== 39 && byte !== 92
    ? String.fromCharCode(byte) : "\\x" + byte.toString(16).padStart(2, "0"))).join("") + "'";
}

// A list of values whose first is whole and the rest are differences.
function summed(values) {
  if (values.length && typeof values[0] === "string") return values;
  let sum = 0;
  return values.map((value) => (sum += value));
}

function copyable(text) {
  const code = el("code", { tabindex: "0" }, text);
  const said = el("span", { class: "quiet", role: "status" });
  const copy = el("button", { type: "button", onclick: async () => {
    try {
      await navigator.clipboard.writeText(text);
      said.textContent = " copied";
    } catch {
      getSelection().selectAllChildren(code);
      said.textContent = " selected";
    }
  } }, "Copy");
  return el("p", { class: "command" }, code, " ", copy, said);
}
