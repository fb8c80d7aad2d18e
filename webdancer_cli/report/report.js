"use strict";
// The report, drawn from data that stand inert in this file. All text reaches the page as text (textContent, append):
// nothing that the data say is ever read as markup. Chunks are unpacked when something in them is opened.
(() => {
// ---- building the page ---------------------------------------------------------------------------------------------

/** An element: h("p.note", {title: "…"}, "text", child, null, …). Handlers are properties: {onclick: f}. */
const kept = (children) => children.flat(3).filter((child) => child !== null && child !== undefined && child !== false);

const h = (what, props = {}, ...children) => {
  const [tag, ...classes] = what.split(".");
  const element = document.createElement(tag || "div");
  if (classes.length) element.className = classes.join(" ");
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function" || name in {value: 1, checked: 1, selected: 1, open: 1}) element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...kept(children));
  return element;
};

const svg = (tag, attributes = {}, ...children) => {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children.flat(3));
  return element;
};

const $ = (id) => document.getElementById(id);
const plural = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
const percent = (share, digits = 1) => (share === null ? "–" : `${(100 * share).toFixed(digits)} %`);
const spaced = (name) => name.replaceAll("_", " ");
const shortModel = (name) => name.split("/").filter(Boolean).pop() ?? "";

// ---- data ----------------------------------------------------------------------------------------------------------

const DATA = JSON.parse($("index").textContent);
$("index").remove();

/** A table of the index as objects. */
const objects = ({fields, rows}) =>
  rows.map((row, number) => {
    const entry = {number};
    fields.forEach((field, i) => (entry[field] = row[i]));
    return entry;
  });

const EPISODES = objects(DATA.episodes);
const QUESTIONS = objects(DATA.questions);
const PAGES = objects(DATA.pages);
const OTHERS = objects(DATA.others);
const sourceName = (entry) => DATA.sources[entry.source].name;

const opened = new Map(); // number of a chunk -> promise of its values; the last few only
const OPENED_AT_MOST = 24;

/** The bytes of a chunk: seven bits a character, the highest first; "\\" stands before one that HTML would change. */
function bytesOf(ascii) {
  const bytes = new Uint8Array(Math.floor((ascii.length * 7) / 8));
  let length = 0;
  for (let i = 0, held = 0, bits = 0; i < ascii.length; i += 1) {
    let code = ascii.charCodeAt(i);
    if (code === 92) code = ascii.charCodeAt((i += 1)) ^ 64;
    held = ((held << 7) | code) & 0x3fff;
    bits += 7;
    if (bits >= 8) bytes[length++] = held >> (bits -= 8);
  }
  return bytes.subarray(0, length);
}

async function unpack(number) {
  const bytes = bytesOf($(`chunk-${number}`).textContent);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  return JSON.parse(await new Response(stream).text());
}

function chunk(number) {
  if (!opened.has(number)) {
    if (opened.size >= OPENED_AT_MOST) opened.delete(opened.keys().next().value);
    opened.set(number, unpack(number));
  }
  return opened.get(number);
}

const at = async ([number, place]) => (await chunk(number))[place];
/** A text, wherever it lies: texts that are long lie in a chunk of their own. */
const text = async (value) => (Array.isArray(value) ? at(value) : value ?? "");

async function thread(entry) {
  const value = await at(entry.at);
  const steps = await Promise.all(
    value.steps.map(async (step) => ({
      ...step,
      text: await text(step.text),
      thought: await text(step.thought),
      answer: step.answer === undefined || step.answer === null ? null : await text(step.answer),
    })),
  );
  return {...value, steps, evidence: value.evidence ?? (await evidenceOf(entry.qa))};
}

const first = (entries, key) => {
  const found = new Map();
  for (const entry of entries) if (!found.has(key(entry))) found.set(key(entry), entry);
  return found;
};
const QUESTION_OF = first(QUESTIONS, (entry) => entry.id);
const PAGE_OF = first(PAGES, (entry) => entry.url);
const PLAYED = new Map(); // id of a question -> its episodes
for (const episode of EPISODES) {
  if (!PLAYED.has(episode.qa)) PLAYED.set(episode.qa, []);
  PLAYED.get(episode.qa).push(episode);
}

/** The evidence of a question that an episode does not carry itself: from the question, or from another episode. */
async function evidenceOf(id) {
  if (QUESTION_OF.has(id)) return (await at(QUESTION_OF.get(id).at)).evidence ?? [];
  for (const episode of (PLAYED.get(id) ?? []).slice(0, 8)) {
    const {evidence} = await at(episode.at);
    if (evidence?.length) return evidence;
  }
  return [];
}

// ---- marks in texts ------------------------------------------------------------------------------------------------

const KINDS_OF = [["'‘’‚‛′`´ʼ", "['‘’‚‛′`´ʼ]"], ['"“”„‟″«»', '["“”„‟″«»]'], ["-‐‑‒–—―−", "[-‐‑‒–—―−]"]];
const escaped = (char) => char.replace(/[.*+?^${}()|[\]\\/-]/g, "\\$&");

/** A pattern that finds a quote whatever its spaces, dashes and quotation marks. */
const tolerant = (quote) =>
  [...quote.trim().replace(/\s+/g, " ")]
    .map((char) => (char === " " ? "\\s+" : KINDS_OF.find(([chars]) => chars.includes(char))?.[1] ?? escaped(char)))
    .join("");

/** The text as nodes, with every place of the needles marked: [{words, kind}]. Later needles are also marked inside earlier ones. */
function marked(body, needles) {
  const spans = [];
  for (const [order, {words, kind}] of needles.entries()) {
    if (!words || words.length > 4000) continue;
    for (const match of body.matchAll(new RegExp(tolerant(words), "gu"))) {
      const [start, end] = [match.index, match.index + match[0].length];
      if (end > start && !spans.some((span) => start < span.end && end > span.start)) spans.push({start, end, kind, order});
      if (spans.length > 500) break;
    }
  }
  spans.sort((a, b) => a.start - b.start);
  const nodes = [];
  let done = 0;
  for (const {start, end, kind, order} of spans) {
    const inner = needles.slice(order + 1).filter((needle) => needle.kind !== kind);
    nodes.push(body.slice(done, start), h(`mark.${kind}`, {}, marked(body.slice(start, end), inner)));
    done = end;
  }
  return [...nodes, body.slice(done)];
}

/** A link for http and https; every other address is text. */
function link(url, label = url) {
  let safe = false;
  try {
    safe = ["http:", "https:"].includes(new URL(url).protocol);
  } catch {
    safe = false;
  }
  return safe ? h("a", {href: url, rel: "noopener noreferrer", target: "_blank"}, label) : h("span.address", {}, label);
}

// ---- small parts ---------------------------------------------------------------------------------------------------

const SIGNS = {correct: "✓", wrong: "✗", unjudged: "?", "": "·"};
const sign = (verdict) => h(`span.sign.${verdict || "none"}`, {title: verdict || "not judged"}, SIGNS[verdict] ?? "·");
const chip = (label, kind = "") => h(`span.chip${kind && "." + kind}`, {}, label);
const facts = (pairs) =>
  h("dl.facts", {}, pairs.filter(([, value]) => value !== "" && value !== null && value !== undefined)
    .map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
const section = (title, ...children) => h("section", {}, h("h3", {}, title), ...children);
const folded = (summary, ...children) => h("details", {}, h("summary", {}, summary), ...children);

/** A text that is shown in part at first if it is long. */
function long(nodes, chars) {
  const body = h("div.text", {}, nodes);
  if (chars < 1400) return body;
  body.classList.add("clipped");
  const more = h("button.more", {type: "button", onclick: () => {
    const clipped = body.classList.toggle("clipped");
    more.textContent = clipped ? `show all ${chars.toLocaleString("en")} characters` : "show less";
  }}, `show all ${chars.toLocaleString("en")} characters`);
  return h("div", {}, body, more);
}

// ---- an episode as a thread ----------------------------------------------------------------------------------------

const FAILURE_WORDS = {
  never_surfaced: "never surfaced", not_opened: "surfaced, not opened", not_shown: "opened, passage not shown",
  not_used: "shown, not used", answered_wrong: "used, answered wrong", no_answer: "no answer", cut_off: "cut off",
};

function callView({name, arguments: given}) {
  const values = Object.entries(given ?? {}).flatMap(([key, value]) => {
    const items = Array.isArray(value) ? value : [value];
    return [h("dt", {}, key), items.map((item) => h("dd", {}, typeof item === "string" ? item : JSON.stringify(item)))];
  });
  return h("div.call", {}, h("span.name-of-call", {}, name), h("dl", {}, values));
}

function turnView(step, entry) {
  const words = step.thought.split(/\s+/).filter(Boolean).length;
  const peek = step.thought.replace(/\s+/g, " ").slice(0, 140);
  return [
    step.thought && h("details.thought", {}, h("summary", {}, h("span.label", {}, "thought"), h("span.peek", {}, peek),
      h("span.count", {}, plural(words, "word"))), h("div.text", {}, step.thought)),
    step.call && callView(step.call),
    step.answer !== null && h(`div.final.${entry.verdict || "none"}`, {}, h("span.label", {}, "answer"),
      h("div.text", {}, step.answer || "(empty)")),
    step.repairs?.length > 0 && h("div.repairs", {}, step.repairs.map((repair) => chip(spaced(repair), "warn")),
      folded("as written", h("pre", {}, step.text))),
  ];
}

const ROLE_LABELS = {system: "system prompt", user: "user", tool: "observation"};

function stepView(step, entry, needles) {
  const bears = step.role === "assistant";
  const body = bears
    ? turnView(step, entry)
    : [h("span.label", {}, ROLE_LABELS[step.role] ?? step.role),
       long(step.role === "tool" ? marked(step.text, needles) : [step.text], step.text.length)];
  return h(`li.step.${step.role}`, {"data-loss": bears ? "yes" : "no"}, bears && step.tokens
    ? h("span.tokens", {title: "tokens that the policy wrote"}, `${step.tokens} tok`) : null, body);
}

const needlesOf = (entry, {evidence, aliases}) => [
  ...evidence.map(({quote}) => ({words: quote, kind: "evidence"})),
  ...[entry.gold, ...(aliases ?? [])].filter((gold) => gold?.length > 2).map((gold) => ({words: gold, kind: "gold"})),
];

const stepsView = (entry, value) => {
  const needles = needlesOf(entry, value);
  return h("ol.thread", {}, value.steps.map((step) => stepView(step, entry, needles)));
};

/** An answer: in bold what is a name or a number, plain what is a list or a table. */
const given = (text) => (text.includes("\n") ? h("div.text", {}, text) : h("b", {}, text));

function answers(entry, value) {
  return h("div.answers", {},
    h(`div.answer.${entry.verdict || "none"}`, {}, h("span.label", {}, "answer"),
      given(entry.answer ?? "none"), entry.verdict && h("small", {}, sign(entry.verdict), ` ${entry.verdict}`,
        value.method && ` · ${value.method}`, value.detail && ` · ${value.detail}`)),
    h("div.answer", {}, h("span.label", {}, "gold"), given(entry.gold || "–"),
      value.aliases?.length ? h("small", {}, `also ${value.aliases.join(" · ")}`) : null));
}

function lossButton(host) {
  const colour = () => {
    state.loss = host.classList.toggle("show-loss");
    button.setAttribute("aria-pressed", state.loss);
  };
  const button = h("button", {type: "button", onclick: colour, "aria-pressed": state.loss, title: "l"}, "what bears loss");
  button.id = "loss-button";
  host.classList.toggle("show-loss", state.loss);
  return button;
}

async function episodeView(entry) {
  const value = await thread(entry);
  const host = h("article.episode");
  const others = (PLAYED.get(entry.qa) ?? []).length - 1;
  const unfold = (event) => {
    const open = event.target.getAttribute("aria-pressed") !== "true";
    event.target.setAttribute("aria-pressed", open);
    for (const details of host.querySelectorAll("details.thought")) details.open = open;
  };
  const written = value.steps.reduce((sum, step) => sum + (step.role === "assistant" ? step.tokens || 0 : 0), 0);
  host.append(...kept([
    h("h2", {}, entry.question),
    h("div.chips", {}, entry.reason && chip(`left out: ${spaced(entry.reason)}`, "bad"), chip(spaced(entry.ending)),
      entry.level ? chip(`level ${entry.level}`) : null, entry.type && chip(spaced(entry.type)),
      entry.failure && chip(FAILURE_WORDS[entry.failure] ?? spaced(entry.failure), "bad"), chip(sourceName(entry), "quiet"),
      entry.run ? chip(`run ${entry.run}`, "quiet") : null),
    answers(entry, value),
    value.repairs?.length ? h("div.repairs", {}, h("span.label", {}, "repairs"),
      value.repairs.map((repair) => chip(spaced(repair), "warn"))) : null,
    h("div.buttons", {}, h("button", {type: "button", onclick: unfold, "aria-pressed": "false"}, "unfold thoughts"),
      lossButton(host), others > 0 && h("a.button", {href: `#side by side/${groupNumber(entry.qa)}`},
        `beside ${plural(others, "other episode")}`)),
    h("p.legend", {}, h("i"), "The policy’s own turns bear loss",
      written ? ` (${written.toLocaleString("en")} tokens)` : "", "; prompts and observations are read, and bear none."),
    stepsView(entry, value),
    value.evidence.length ? section("Evidence of the question", evidenceView(value.evidence, entry.gold)) : null,
    value.chain?.length ? section("How the question was made", chainView(value.chain)) : null,
    value.opinions?.length ? section("Opinions", facts(value.opinions.map(({criterion, good, reason}) =>
      [criterion, `${good ? "good" : "bad"}${reason ? ": " + reason : ""}`]))) : null,
    value.anatomy ? section("How far it came", anatomyView(value.anatomy)) : null,
    value.facts?.length ? section("Record", facts(value.facts)) : null,
  ]));
  return host;
}

function anatomyView({basis, failure, gold, surfaced, opened, shown, pages}) {
  const of = (count) => (gold ? `${count ?? 0} of ${plural(gold, "gold page")}` : "");
  return facts([["told from", basis], ["failure", FAILURE_WORDS[failure] ?? failure], ["listed by search", of(surfaced)],
    ["opened", of(opened)], ["passage shown", of(shown)], ["pages visited", pages ? String(pages) : ""]]);
}

// ---- questions and pages -------------------------------------------------------------------------------------------

function evidenceView(evidence, answer) {
  return h("ol.pages", {}, evidence.map(({url, title, quote}) => {
    const page = PAGE_OF.get(url);
    const fold = page && folded("the whole page");
    if (fold) fold.addEventListener("toggle", async () => {
      if (fold.open && fold.children.length === 1) {
        const body = await text((await at(page.at)).text);
        fold.append(h("div.text", {}, marked(body, [{words: quote, kind: "evidence"}])));
      }
    });
    return h("li", {}, h("div.page-title", {}, title || "untitled"), h("div.url", {}, link(url)),
      h("blockquote", {}, marked(quote, [{words: answer, kind: "gold"}])), fold);
  }));
}

function chainView(chain) {
  const rounds = chain.map(({entity, description, before, after, url, sentence, query}, number) =>
    h("li", {}, h("span.label", {}, `round ${number + 1}`),
      h("p.before", {}, marked(before, [{words: entity, kind: "out"}])),
      h("p.after", {}, marked(after, [{words: description, kind: "in"}])),
      h("div.source", {}, h("q", {}, sentence), " ", link(url), query && h("span.quiet", {}, ` found by “${query}”`))));
  return h("ol.chain", {}, rounds);
}

async function questionView(entry) {
  const origin = await at(entry.at);
  const played = PLAYED.get(entry.id) ?? [];
  return h("article.question", {},
    h("h2", {}, entry.question),
    h("div.chips", {}, entry.reason && chip(`left out: ${spaced(entry.reason)}`, "bad"),
      entry.level ? chip(`level ${entry.level}`) : null, entry.type && chip(spaced(entry.type)),
      entry.rewrites ? chip(plural(entry.rewrites, "rewrite")) : null, chip(sourceName(entry), "quiet")),
    h("div.answers", {}, h("div.answer", {}, h("span.label", {}, "answer"), given(entry.answer),
      origin.aliases?.length ? h("small", {}, `also ${origin.aliases.join(" · ")}`) : null)),
    origin.chain?.length ? section("How it became harder", chainView(origin.chain)) : null,
    origin.evidence?.length ? section("Pages to read, in order", evidenceView(origin.evidence, entry.answer)) : null,
    played.length ? section("Episodes", h("ul.plain", {}, played.map((episode) => h("li", {},
      h("a", {href: `#episodes/${episode.number}`}, sign(episode.verdict), ` ${sourceName(episode)}: ${episode.answer ?? "no answer"}`))))) : null,
    origin.facts?.length ? section("Record", facts(origin.facts)) : null);
}

async function pageView(entry) {
  const page = await at(entry.at);
  const body = await text(page.text);
  return h("article.page", {}, h("h2", {}, entry.title || "untitled"), h("div.url", {}, link(entry.url)),
    h("div.text.reading", {}, body), page.facts?.length ? section("Record", facts(page.facts)) : null);
}

// ---- lists: virtual, filtered, searched ----------------------------------------------------------------------------

const ROW_PIXELS = 66;
const state = {loss: false, filters: {}, queries: {}, number: {}};

/** Numbers of the chunks that hold a text, letter by letter: every value and text of the report is gone through. */
async function fullText(entries, words, onProgress, isStale) {
  const needle = words.toLowerCase();
  const texts = new Set();
  const hits = new Set();
  const byChunk = new Map();
  for (const entry of entries) {
    if (!byChunk.has(entry.at[0])) byChunk.set(entry.at[0], []);
    byChunk.get(entry.at[0]).push(entry);
  }
  const numbers = DATA.chunks.map((kind, number) => [kind, number]);
  const ordered = [...numbers.filter(([kind]) => kind === "texts"), ...numbers.filter(([kind, n]) => kind === "values" && byChunk.has(n))];
  const holds = (value) => {
    if (typeof value === "string") return value.toLowerCase().includes(needle);
    if (Array.isArray(value)) {
      if (value.length === 2 && typeof value[0] === "number") return texts.has(`${value[0]}-${value[1]}`);
      return value.some(holds);
    }
    return value !== null && typeof value === "object" && Object.values(value).some(holds);
  };
  for (const [done, [kind, number]] of ordered.entries()) {
    if (isStale()) return null;
    onProgress(done / ordered.length);
    const values = await unpack(number);
    if (kind === "texts") values.forEach((value, place) => holds(value) && texts.add(`${number}-${place}`));
    else for (const entry of byChunk.get(number)) if (holds(values[entry.at[1]])) hits.add(entry.number);
    await new Promise((resolve) => setTimeout(resolve));
  }
  return hits;
}

/**
 * A list with filters and a search field beside what is chosen in it.
 * kind: {name, entries, filters: [[label, value of an entry]], words of an entry, row of an entry, detail of an entry}
 */
function browser(kind, chosen) {
  const filters = (state.filters[kind.name] ??= {});
  let shown = kind.entries;
  let selected = -1;
  let found = null; // numbers of the entries that a search of all texts found, or null
  let searches = 0;

  const count = h("span.total", {"aria-live": "polite"});
  const search = h("input", {type: "search", placeholder: "Search (/), Enter searches all texts", "aria-label": "Search",
    value: state.queries[kind.name] ?? "", spellcheck: "false"});
  const spacer = h("div.spacer");
  const list = h("div.list", {tabindex: "0", role: "listbox", "aria-label": kind.name}, spacer);
  const detail = h("div.detail", {tabindex: "-1"});
  const root = h("div.browser", {}, h("div.side", {}, h("div.filters", {}, search, selects(), count), list), detail);

  function selects() {
    return kind.filters.map(([label, of]) => {
      const counts = new Map();
      for (const entry of kind.entries) counts.set(of(entry), (counts.get(of(entry)) ?? 0) + 1);
      if (counts.size < 2) return null;
      const options = [...counts].sort(([a], [b]) => String(a).localeCompare(String(b), "en", {numeric: true}));
      const select = h("select", {"aria-label": label, onchange: () => {
        filters[label] = select.value;
        refresh();
      }}, h("option", {value: ""}, label), options.map(([value, number]) => h("option", {value: `=${value}`,
        selected: filters[label] === `=${value}`}, `${spaced(String(value)) || "(none)"} (${number.toLocaleString("en")})`)));
      return select;
    });
  }

  function refresh() {
    const words = search.value.trim().toLowerCase();
    const wanted = kind.filters.map(([label, of]) => [of, filters[label]]).filter(([, value]) => value);
    shown = kind.entries.filter((entry) =>
      wanted.every(([of, value]) => `=${of(entry)}` === value) &&
      (found ? found.has(entry.number) : !words || kind.words(entry).toLowerCase().includes(words)));
    for (const select of root.querySelectorAll("select")) select.classList.toggle("on", select.value !== "");
    count.textContent = (shown.length === kind.entries.length ? "" : `${shown.length.toLocaleString("en")} of `) +
      plural(kind.entries.length, kind.noun);
    spacer.style.height = `${shown.length * ROW_PIXELS}px`;
    selected = shown.findIndex((entry) => entry.number === chosen);
    draw();
  }

  function draw() {
    const from = Math.max(0, Math.floor(list.scrollTop / ROW_PIXELS) - 6);
    const rows = Math.ceil((list.clientHeight || 800) / ROW_PIXELS) + 12;
    spacer.replaceChildren(...shown.slice(from, from + rows).map((entry, i) => {
      const row = h("a.row", {href: `#${kind.name}/${entry.number}`, role: "option", tabindex: "-1",
        "aria-selected": entry.number === chosen ? "true" : "false"}, kind.row(entry));
      row.style.top = `${(from + i) * ROW_PIXELS}px`;
      return row;
    }));
    if (!shown.length) spacer.replaceChildren(h("p.empty", {}, "Nothing fits."));
  }

  async function choose(number, {focus = false} = {}) {
    chosen = number;
    state.number[kind.name] = number;
    selected = shown.findIndex((entry) => entry.number === number);
    root.classList.toggle("chosen", number !== null);
    draw();
    if (number === null) {
      detail.replaceChildren(h("p.empty", {}, "Choose one on the left: j and k go down and up, Enter opens."));
      return;
    }
    const entry = kind.entries[number];
    if (!entry) return;
    const drawn = await kind.detail(entry);
    if (chosen !== number) return;
    detail.replaceChildren(h("a.back", {href: `#${kind.name}`}, "‹ back to the list"), drawn);
    detail.scrollTop = 0;
    if (focus) detail.focus();
  }

  function move(by) {
    if (!shown.length) return;
    const next = Math.min(shown.length - 1, Math.max(0, selected + by));
    const top = next * ROW_PIXELS;
    if (top < list.scrollTop) list.scrollTop = top;
    if (top + ROW_PIXELS > list.scrollTop + list.clientHeight) list.scrollTop = top + ROW_PIXELS - list.clientHeight;
    history.replaceState(null, "", `#${kind.name}/${shown[next].number}`);
    choose(shown[next].number);
  }

  async function searchAll() {
    const mine = ++searches;
    const words = search.value.trim();
    if (!words) return;
    count.textContent = "searching all texts …";
    const hits = await fullText(kind.entries, words, (share) => {
      count.textContent = `searching all texts … ${Math.round(100 * share)} %`;
    }, () => mine !== searches);
    if (hits === null) return;
    found = hits;
    list.scrollTop = 0;
    refresh();
    count.textContent += " · in all texts";
  }

  search.addEventListener("input", () => {
    searches += 1;
    found = null;
    state.queries[kind.name] = search.value;
    list.scrollTop = 0;
    refresh();
  });
  search.addEventListener("keydown", (event) => {
    if (event.key === "Enter") searchAll();
  });
  list.addEventListener("scroll", () => requestAnimationFrame(draw));
  new ResizeObserver(() => draw()).observe(list);

  return {
    root,
    start() {
      refresh();
      if (selected > 0) list.scrollTop = Math.max(0, selected * ROW_PIXELS - list.clientHeight / 2);
      return choose(chosen);
    },
    go: choose,
    move,
    open: () => (chosen === null ? move(1) : detail.focus()),
    escape() {
      if (document.activeElement === search || search.value) {
        search.value = "";
        search.dispatchEvent(new Event("input"));
        search.blur();
        list.focus();
      } else if (chosen !== null) location.hash = `#${kind.name}`;
    },
    search: () => search.focus(),
  };
}

// ---- what is listed ------------------------------------------------------------------------------------------------

const twoLines = (top, ...bottom) => [h("span.top", {}, top), h("span.bottom", {}, bottom)];

const KIND_OF_EPISODES = {
  name: "episodes", noun: "episode", entries: EPISODES,
  filters: [
    ["verdict", (entry) => entry.verdict || "not judged"], ["ending", (entry) => entry.ending],
    ["level", (entry) => entry.level], ["type", (entry) => entry.type], ["model", (entry) => shortModel(entry.model)],
    ["file", sourceName], ["failure", (entry) => entry.failure], ["left out", (entry) => entry.reason],
  ],
  words: (entry) => `${entry.question}\n${entry.answer ?? ""}\n${entry.gold}\n${entry.id}\n${entry.model}`,
  row: (entry) => [sign(entry.verdict), h("span.body", {}, twoLines(entry.question,
    h("span.given", {}, entry.answer ?? spaced(entry.ending)), entry.level ? h("span", {}, `L${entry.level}`) : null,
    h("span", {}, plural(entry.calls, "call")), h("span.from", {}, sourceName(entry))))],
  detail: episodeView,
};

const KIND_OF_QUESTIONS = {
  name: "questions", noun: "question", entries: QUESTIONS,
  filters: [["type", (entry) => entry.type], ["level", (entry) => entry.level], ["rewrites", (entry) => entry.rewrites],
    ["author", (entry) => entry.author], ["file", sourceName], ["left out", (entry) => entry.reason]],
  words: (entry) => `${entry.question}\n${entry.answer}\n${entry.id}`,
  row: (entry) => [h("span.body", {}, twoLines(entry.question, h("span.given", {}, entry.answer),
    entry.level ? h("span", {}, `L${entry.level}`) : null, entry.rewrites ? h("span", {}, plural(entry.rewrites, "rewrite")) : null,
    entry.reason ? h("span.bad", {}, spaced(entry.reason)) : h("span.from", {}, sourceName(entry))))],
  detail: questionView,
};

const KIND_OF_PAGES = {
  name: "pages", noun: "page", entries: PAGES, filters: [["file", sourceName]],
  words: (entry) => `${entry.title}\n${entry.url}`,
  row: (entry) => [h("span.body", {}, twoLines(entry.title || "untitled", h("span.given", {}, entry.url),
    h("span", {}, plural(entry.chars, "character"))))],
  detail: pageView,
};

// ---- the same question side by side --------------------------------------------------------------------------------

const GROUPS = [...PLAYED].filter(([, episodes]) => episodes.length > 1).map(([qa, episodes]) => {
  const right = episodes.filter((entry) => entry.verdict === "correct").length;
  const wrong = episodes.filter((entry) => entry.verdict === "wrong").length;
  const [{question, gold, level, type}] = episodes;
  const outcome = right && wrong ? "some right" : right ? "all right" : wrong ? "all wrong" : "not judged";
  return {qa, episodes, question, gold, level, type, right, outcome};
}).sort((a, b) => (b.outcome === "some right") - (a.outcome === "some right"));
GROUPS.forEach((group, number) => (group.number = number));
const GROUP_OF = new Map(GROUPS.map((group) => [group.qa, group.number]));
const groupNumber = (qa) => GROUP_OF.get(qa) ?? "";

async function groupView(group) {
  const sorted = [...group.episodes].sort((a, b) => a.source - b.source || a.run - b.run);
  const left = sorted.find((entry) => entry.verdict === "correct") ?? sorted[0];
  const others = sorted.filter((entry) => entry !== left);
  const wrong = others.filter((entry) => entry.verdict === "wrong"); // the one that tried hardest tells most
  const right = (wrong.length ? wrong : others).reduce((best, entry) => (entry.calls > best.calls ? entry : best));
  const host = h("article.group", {}, h("h2", {}, group.question),
    h("div.chips", {}, chip(`${group.right} of ${group.episodes.length} right`), group.level ? chip(`level ${group.level}`) : null,
      group.type && chip(spaced(group.type)), chip(`gold: ${group.gold}`)));
  const columns = h("div.columns");
  for (const chosen of [left, right]) {
    const body = h("div.column-body");
    const show = async (entry) => {
      const value = await thread(entry);
      body.replaceChildren(h("div.chips", {}, chip(spaced(entry.ending)), chip(plural(entry.calls, "call")),
        h("a.button", {href: `#episodes/${entry.number}`}, "open")), answers(entry, value), stepsView(entry, value));
    };
    const picker = h("select", {"aria-label": "Episode", onchange: () => show(EPISODES[picker.value])},
      sorted.map((entry) => h("option", {value: entry.number, selected: entry === chosen},
        `${SIGNS[entry.verdict] ?? "·"} ${sourceName(entry)}${entry.run ? `, run ${entry.run}` : ""}: ${entry.answer ?? "no answer"}`)));
    await show(chosen);
    columns.append(h("div.column", {}, picker, body));
  }
  host.append(columns);
  return host;
}

const KIND_OF_GROUPS = {
  name: "side by side", noun: "question", entries: GROUPS,
  filters: [["outcome", (group) => group.outcome], ["level", (group) => group.level], ["type", (group) => group.type]],
  words: (group) => `${group.question}\n${group.gold}`,
  row: (group) => [h("span.body", {}, twoLines(group.question,
    h("span.dots", {}, group.episodes.slice(0, 24).map((entry) => h(`i.${entry.verdict || "none"}`))),
    h("span", {}, `${group.right} of ${group.episodes.length} right`)))],
  detail: groupView,
};

// ---- evaluations ---------------------------------------------------------------------------------------------------

const EVALUATIONS = DATA.evaluations;
const colour = (number) => `var(--series-${number % 8})`;
const swatch = (number) => {
  const element = h("i.swatch");
  element.style.background = colour(number);
  return element;
};

/** A share as a bar with its 95 % interval as a whisker. */
function bar({share, low, high, judged}, number) {
  const fill = h("span.fill");
  const whisker = h("span.whisker");
  fill.style.width = `${100 * (share ?? 0)}%`;
  fill.style.background = colour(number);
  whisker.style.left = `${100 * low}%`;
  whisker.style.width = `${100 * (high - low)}%`;
  const label = judged ? `${percent(share)}, 95 % interval ${percent(low)} to ${percent(high)}` : "nothing judged";
  return h("div.bar", {role: "img", "aria-label": label, title: label}, fill, judged ? whisker : null);
}

const F1 = [["f1", "item F1"], ["row_f1", "row F1"]];

function scoresTable() {
  const f1s = F1.filter(([name]) => EVALUATIONS.some(({overall}) => overall[name] !== null));
  const rows = EVALUATIONS.map((evaluation, number) => {
    const {overall} = evaluation;
    return h("tr", {}, h("th", {scope: "row"}, swatch(number), evaluation.name), h("td.wide", {}, bar(overall, number)),
      h("td.number.strong", {}, percent(overall.share)),
      h("td.number", {}, `${percent(overall.low)} – ${percent(overall.high)}`),
      h("td.number", {}, `${overall.correct.toLocaleString("en")} / ${overall.judged.toLocaleString("en")}`),
      f1s.map(([name]) => h("td.number", {}, overall[name] === null ? "–" : percent(overall[name]))),
      h("td.number", {}, overall.unjudged ? String(overall.unjudged) : "–"),
      h("td.number", {}, percent(evaluation.format_share)), h("td.number", {}, (evaluation.mean_calls ?? 0).toFixed(1)));
  });
  const heads = ["", "correct", "", "95 % interval", "k / n", ...f1s.map(([, head]) => head), "unjudged", "well-formed", "calls"];
  return h("div.scroll", {}, h("table", {}, h("thead", {}, h("tr", {}, heads.map((head) => h("th", {scope: "col"}, head)))),
    h("tbody", {}, rows)));
}

function breakdown(title) {
  const names = [...new Set(EVALUATIONS.flatMap(({groups}) => (groups[title] ?? []).map(({name}) => name)))];
  const order = new Intl.Collator("en", {numeric: true});
  return h("div.breakdown", {}, h("h3", {}, `By ${spaced(title)}`), names.sort(order.compare).map((name) => {
    const lines = EVALUATIONS.map(({groups, name: evaluation}, number) => {
      const row = (groups[title] ?? []).find((group) => group.name === name);
      return row && h("div.line", {title: evaluation}, bar(row, number), h("span.number.strong", {}, percent(row.share, 0)),
        h("span.number", {}, `${row.correct} / ${row.judged}`));
    });
    return h("div.group-row", {}, h("div.group-name", {}, spaced(name)), h("div.lines", {}, lines));
  }));
}

/** Parts of a whole, one line per evaluation, the largest first. */
function stacked(title, countsOf, words) {
  const totals = new Map();
  for (const evaluation of EVALUATIONS)
    for (const [name, count] of Object.entries(countsOf(evaluation))) totals.set(name, (totals.get(name) ?? 0) + count);
  const names = [...totals.keys()].sort((a, b) => totals.get(b) - totals.get(a));
  if (!names.length) return null;
  const shade = (element, name) => (element.style.background = `var(--part-${names.indexOf(name) % 8})`);
  const lines = EVALUATIONS.map((evaluation) => {
    const counts = countsOf(evaluation);
    const total = Object.values(counts).reduce((a, b) => a + b, 0);
    const parts = names.filter((name) => counts[name]).map((name) => {
      const part = h("span.part", {title: `${words(name)}: ${counts[name]}`}, counts[name] / total > 0.06 ? String(counts[name]) : "");
      part.style.width = `${(100 * counts[name]) / total}%`;
      shade(part, name);
      return part;
    });
    return h("div.stack-row", {}, h("div.group-name", {}, evaluation.name), h("div.stack", {}, parts));
  });
  const legend = h("div.key", {}, names.map((name) => {
    const dot = h("i.swatch");
    shade(dot, name);
    return h("span", {}, dot, `${words(name)} `, h("span.quiet", {}, String(totals.get(name))));
  }));
  return section(title, legend, lines);
}

// ---- the anatomy as a flow: from all judged runs to the right ones, and where the others leave

const LEAVING = [["cut_off", "cut off"], ["no_answer", "no answer"], ["never_surfaced", "never surfaced"], ["not_opened", "surfaced,", "not opened"],
  ["not_shown", "opened,", "not shown"], ["not_used", "shown,", "not used"], ["answered_wrong", "used,", "answered wrong"], ["", "wrong,", "not told why"]];
const FLOW = {wide: 900, first: 96, step: 92, top: 18, high: 76, turn: 10, end: 132};

/** A band that leaves the stream at (x, y) with a thickness, in a quarter turn to the right and down. */
function turning(x, y, thick) {
  const [inner, outer] = [x + FLOW.turn, x + FLOW.turn + thick];
  return `M${x} ${y} Q${outer} ${y} ${outer} ${FLOW.end} L${inner} ${FLOW.end} Q${inner} ${y + thick} ${x} ${y + thick} Z`;
}

function flow(evaluation, number) {
  const {overall, failures} = evaluation;
  const wrong = overall.judged - overall.correct;
  const untold = wrong - Object.values(failures).reduce((a, b) => a + b, 0);
  const leaving = LEAVING.map(([name, ...words]) => [name ? failures[name] ?? 0 : Math.max(0, untold), words]).filter(([count]) => count);
  const size = (count) => (FLOW.high * count) / overall.judged;
  const label = (x, y, count, words, anchor = "middle") => [count.toLocaleString("en"), ...words].map((line, i) =>
    svg("text", {x, y: y + 14 * i, class: i ? "flow-name" : "flow-count", "text-anchor": anchor}, line));
  let left = overall.judged;
  const parts = leaving.flatMap(([count, words], i) => {
    const [x, y, thick] = [FLOW.first + FLOW.step * i, FLOW.top + size(left - count), Math.max(size(count), 1)];
    const from = i ? x - FLOW.step : 0;
    const stream = svg("rect", {x: from, y: FLOW.top, width: x - from, height: size(left)});
    left -= count;
    const part = svg("path", {class: "leaves", d: turning(x, y, thick)}, svg("title", {}, `${words.join(" ")}: ${count} of ${overall.judged}`));
    return [stream, part, ...label(x + FLOW.turn + thick / 2, FLOW.end + 16, count, words)];
  });
  const last = leaving.length ? FLOW.first + FLOW.step * (leaving.length - 1) : 0;
  const picture = svg("svg", {class: "flow", viewBox: `0 0 ${FLOW.wide} ${FLOW.end + 52}`, role: "img",
    "aria-label": [`${overall.judged} runs`, ...leaving.map(([count, words]) => `${count} ${words.join(" ")}`), `${overall.correct} correct`].join(", ")},
    parts, left > 0 ? svg("rect", {x: last, y: FLOW.top, width: FLOW.wide - 70 - last, height: size(left)}) : [],
    label(2, 11, overall.judged, [], "start"), label(FLOW.wide - 62, FLOW.top + Math.max(10, size(left) / 2 - 2), overall.correct, ["correct"], "start"));
  picture.style.color = colour(number);
  return h("figure.flow-row", {}, h("figcaption", {}, swatch(number), evaluation.name), h("div.scroll", {}, picture));
}

function flows() {
  const told = EVALUATIONS.map((evaluation, number) => [evaluation, number]).filter(([{failures}]) => Object.keys(failures).length);
  if (!told.length) return null;
  return section("Where wrong episodes fail", h("p.quiet", {}, "From all judged runs to the right ones; each other run leaves where it failed."),
    told.map(([evaluation, number]) => flow(evaluation, number)));
}

const probability = (p) => (p < 0.001 ? "p < 0.001" : `p = ${p.toFixed(3)}`);

function comparison() {
  if (!DATA.pairs.length) return null;
  const body = h("div.compared");
  const show = (number) => {
    const pair = DATA.pairs[number];
    const [before, after] = [EVALUATIONS[pair.first], EVALUATIONS[pair.second]];
    const same = pair.questions - pair.gained.length - pair.lost.length;
    body.replaceChildren(
      h("p.verdict", {}, h("b", {}, `${pair.difference >= 0 ? "+" : "−"}${Math.abs(100 * pair.difference).toFixed(1)} points`),
        ` from ${before.name} to ${after.name} on the ${plural(pair.questions, "question")} that both have; exact McNemar ${probability(pair.p)}`),
      h("div.balance", {}, h("span.gain", {}, `${pair.gained.length} gained`), h("span.same", {}, `${same} the same`),
        h("span.loss", {}, `${pair.lost.length} lost`)),
      h("div.columns", {}, changed("Gained", pair.gained, after), changed("Lost", pair.lost, after)));
  };
  const select = h("select", {"aria-label": "Comparison", onchange: () => show(select.value)},
    DATA.pairs.map(({first, second}, number) => h("option", {value: number}, `${EVALUATIONS[first].name} → ${EVALUATIONS[second].name}`)));
  // What moved both ways says most.
  const balance = ({gained, lost}) => Math.min(gained.length, lost.length);
  const best = DATA.pairs.reduce((best, pair, number) => (balance(pair) > balance(DATA.pairs[best]) ? number : best), 0);
  select.value = best;
  show(best);
  return section("Question by question", select, body);
}

function changed(title, ids, evaluation) {
  const rows = (some) => some.map((id) => {
    const entry = PLAYED.get(id)?.find((episode) => episode.source === evaluation.source && episode.model === evaluation.model);
    return h("li", {}, h("a", {href: `#side by side/${groupNumber(id)}`}, entry?.question ?? id));
  });
  const list = h("ul.plain", {}, rows(ids.slice(0, 12)));
  const more = ids.length > 12 && h("button.more", {type: "button", onclick: () => {
    list.replaceChildren(...rows(ids));
    more.remove();
  }}, `show all ${ids.length}`);
  return h("div.column", {}, h("h4", {}, `${title} (${ids.length})`), list, more);
}

function evaluationsView() {
  const titles = [...new Set(EVALUATIONS.flatMap(({groups}) => Object.keys(groups)))];
  return h("div.sheet", {},
    h("h2", {}, "Evaluations"),
    h("p.lead", {}, `Share of questions answered correctly; whiskers are 95 % intervals. Judged by ${
      [...new Set(EVALUATIONS.flatMap(({judges}) => Object.keys(judges)))].join(", ") || "nobody"}.`),
    scoresTable(),
    titles.length ? h("section.breakdowns", {}, titles.map(breakdown)) : null,
    comparison(),
    flows(),
    stacked("How episodes end", ({endings}) => endings, spaced));
}

// ---- training ------------------------------------------------------------------------------------------------------

const RUNS = DATA.runs;
const HEADLINES = ["loss", "held_out_loss", "reward", "accuracy", "format", "entropy", "grad_norm", "kl", "length", "sampled",
  "calls", "clip_fraction", "ratio_max", "unjudged", "kept", "lr"];
const METRIC_WORDS = {grad_norm: "gradient norm", lr: "learning rate", kl: "KL divergence", held_out_loss: "held-out loss",
  length: "length (tokens)", sampled: "written (tokens)", calls: "calls per episode", kept: "groups kept"};
const compact = (value) => {
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) return value.toExponential(1).replace("e+", "e").replace(".0e", "e");
  if (size >= 10000) return `${(value / 1000).toFixed(0)}k`;
  return String(Number(value.toPrecision(3)));
};

/** Round numbers that span a range. */
function ticks(low, high, wanted = 5) {
  const raw = (high - low || Math.abs(high) || 1) / wanted;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= raw);
  const made = [];
  for (let tick = Math.ceil(low / step - 1e-9) * step; tick <= high + step * 1e-9 && made.length < 12; tick += step) made.push(tick);
  return made;
}

/** An exponential moving average that forgets its start (as in Adam's bias correction). */
function smooth(values, weight) {
  let [sum, mass] = [0, 0];
  return values.map((value) => {
    if (value === null) return null;
    sum = weight * sum + (1 - weight) * value;
    mass = weight * mass + (1 - weight);
    return sum / mass;
  });
}

/** At most `most` points: of each bin its least and its greatest value. */
function thinned(points, most = 600) {
  if (points.length <= most) return points;
  const size = Math.ceil((2 * points.length) / most);
  const kept = [];
  for (let i = 0; i < points.length; i += size) {
    const bin = points.slice(i, i + size);
    const low = bin.reduce((a, b) => (b[1] < a[1] ? b : a));
    const high = bin.reduce((a, b) => (b[1] > a[1] ? b : a));
    kept.push(...[low, high].sort((a, b) => a[0] - b[0]));
  }
  return kept;
}

const [WIDE, HIGH, LEFT, BOTTOM, ABOVE, RIGHT] = [360, 190, 58, 22, 8, 8]; // on the left, eight characters: -1.2e-12

/** Round numbers on a logarithmic scale, at most a few to a decade. */
function decades(low, high) {
  const factors = Math.log10(high / low) > 3 ? [1] : [1, 3];
  const made = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power += 1)
    for (const factor of factors) made.push(factor * 10 ** power);
  return made.filter((tick) => tick >= low && tick <= high);
}

const SPAN = 30; // from this ratio of the greatest to the least value on, a logarithmic scale says more

function chart(metric, runs, smoothing, logs) {
  const lines = runs.filter(({curves}) => curves[metric]).map((run) => ({run, steps: run.steps, values: run.curves[metric]}));
  const all = lines.flatMap(({values}) => values).filter((value) => value !== null);
  let [low, high] = [all.reduce((a, b) => Math.min(a, b), Infinity), all.reduce((a, b) => Math.max(a, b), -Infinity)];
  const log = logs && low > 0 && high / low > SPAN;
  const scale = log ? Math.log10 : Number;
  if (low === high) [low, high] = [low - (Math.abs(low) || 1) * 0.1, high + (Math.abs(high) || 1) * 0.1];
  const room = (high - low) * 0.04;
  if (log) [low, high] = [low / 1.1, high * 1.1];
  else [low, high] = [low >= 0 && low - room < 0 ? 0 : low - room, high + room];
  const lastStep = Math.max(...lines.map(({steps}) => steps[steps.length - 1]));
  const firstStep = Math.min(...lines.map(({steps}) => steps[0]));
  const x = (step) => LEFT + ((WIDE - LEFT - RIGHT) * (step - firstStep)) / (lastStep - firstStep || 1);
  const y = (value) => ABOVE + (HIGH - ABOVE - BOTTOM) * (1 - (scale(value) - scale(low)) / (scale(high) - scale(low)));
  const path = (points) => points.map(([step, value], i) => `${i ? "L" : "M"}${x(step).toFixed(1)} ${y(value).toFixed(1)}`).join("");
  const curve = (steps, values) => path(thinned(steps.map((step, i) => [step, values[i]]).filter(([, value]) => value !== null)));

  const cursor = svg("line", {class: "cursor", y1: ABOVE, y2: HIGH - BOTTOM, visibility: "hidden"});
  const picture = svg("svg", {viewBox: `0 0 ${WIDE} ${HIGH}`, role: "img", "aria-label": `${metric} over steps`},
    (log ? decades(low, high) : ticks(low, high)).map((tick) => [svg("line", {class: "grid", x1: LEFT, x2: WIDE - RIGHT, y1: y(tick), y2: y(tick)}),
      svg("text", {class: "tick", x: LEFT - 6, y: y(tick) + 3.5, "text-anchor": "end"}, compact(tick))]),
    ticks(firstStep, lastStep, 5).filter(Number.isInteger).map((tick) => svg("text", {class: "tick", x: x(tick), y: HIGH - 6, "text-anchor": x(tick) > WIDE - 24 ? "end" : "middle"}, compact(tick))),
    lines.map(({run}) => run.alarms.map(({step, text: said}) => svg("g", {class: "alarm"},
      svg("line", {x1: x(step), x2: x(step), y1: ABOVE, y2: HIGH - BOTTOM}),
      svg("path", {d: `M${x(step) - 4} ${ABOVE} h8 l-4 7 z`}), svg("title", {}, `step ${step}: ${said}`)))),
    lines.flatMap(({run, steps, values}) => {
      const raw = svg("path", {class: smoothing ? "curve faint" : "curve", d: curve(steps, values)});
      raw.style.stroke = colour(run.number);
      if (!smoothing) return [raw];
      const soft = svg("path", {class: "curve", d: curve(steps, smooth(values, smoothing))});
      soft.style.stroke = colour(run.number);
      return [raw, soft];
    }), cursor);

  const readout = h("div.readout");
  const read = (step) => readout.replaceChildren(...(step === null ? [] : [h("span.quiet", {}, `step ${step}`)]),
    ...lines.map(({run, steps, values}) => {
      const place = step === null ? values.length - 1 : steps.reduce((best, s, i) => (Math.abs(s - step) < Math.abs(steps[best] - step) ? i : best), 0);
      return h("span", {}, swatch(run.number), values[place] === null ? "–" : compact(values[place]));
    }));
  picture.addEventListener("pointermove", (event) => {
    const box = picture.getBoundingClientRect();
    const place = ((event.clientX - box.left) / box.width) * WIDE;
    const step = Math.round(firstStep + ((place - LEFT) / (WIDE - LEFT - RIGHT)) * (lastStep - firstStep));
    const held = Math.min(lastStep, Math.max(firstStep, step));
    for (const name of ["x1", "x2"]) cursor.setAttribute(name, x(held));
    cursor.setAttribute("visibility", "visible");
    read(held);
  });
  picture.addEventListener("pointerleave", () => {
    cursor.setAttribute("visibility", "hidden");
    read(null);
  });
  read(null);
  return h("figure.chart", {}, h("figcaption", {}, h("b", {}, METRIC_WORDS[metric] ?? spaced(metric).replace(".", ": "), log && h("small", {}, " log")), readout), picture);
}

const SMOOTHED = 0.7;

function trainingView() {
  RUNS.forEach((run, number) => (run.number = number));
  const hidden = new Set();
  let smoothing = RUNS.some(({steps}) => steps.length > 30) ? SMOOTHED : 0;
  let logs = true;
  const charts = h("div");
  const draw = () => {
    const shown = RUNS.filter((run) => !hidden.has(run));
    const metrics = [...new Set(shown.flatMap(({curves}) => Object.keys(curves)))];
    const headlines = HEADLINES.filter((metric) => metrics.includes(metric));
    const others = metrics.filter((metric) => !headlines.includes(metric)).sort();
    const grid = (names) => h("div.charts", {}, names.map((metric) => chart(metric, shown, smoothing, logs)));
    charts.replaceChildren(grid(headlines), ...(others.length
      ? [h("section", {}, folded(`${plural(others.length, "more curve")}`, grid(others)))] : []));
  };
  const legend = h("div.key.controls", {}, RUNS.map((run) => h("label", {}, h("input", {type: "checkbox", checked: true, onchange: () => {
    if (!hidden.delete(run)) hidden.add(run);
    draw();
  }}), swatch(run.number), run.name, h("span.quiet", {}, ` ${plural(run.steps.length, "step")}`))),
    h("label", {}, h("input", {type: "checkbox", checked: smoothing > 0, onchange: (event) => {
      smoothing = event.target.checked ? SMOOTHED : 0;
      draw();
    }}), "smoothed"), h("label", {}, h("input", {type: "checkbox", checked: logs, onchange: (event) => {
      logs = event.target.checked;
      draw();
    }}), "logarithmic where values span decades"));
  const alarms = RUNS.flatMap((run) => run.alarms.map((alarm) => h("tr", {}, h("th", {scope: "row"}, swatch(run.number), run.name),
    h("td.number", {}, `step ${alarm.step}`), h("td", {}, alarm.text))));
  draw();
  return h("div.sheet", {}, h("h2", {}, "Training"), legend,
    alarms.length ? section("Alarms", h("div.scroll", {}, h("table.alarms", {}, h("tbody", {}, alarms)))) : null, charts);
}

// ---- the overview --------------------------------------------------------------------------------------------------

const LINE_WORDS = {trajectory: "trajectories", attempt: "graded runs", question: "questions", page: "pages", rejected: "rejected lines",
  metrics: "steps of training", other: "other lines, not shown"};

function overview() {
  const cards = [
    EVALUATIONS.length > 0 && h("a.card.half", {href: "#evaluations"}, h("h3", {}, "Accuracy"), EVALUATIONS.map((evaluation, number) =>
      h("div.line", {}, h("span.name", {}, evaluation.name), bar(evaluation.overall, number), h("span.number.strong", {}, percent(evaluation.overall.share))))),
    RUNS.length > 0 && h("a.card.half", {href: "#training"}, h("h3", {}, "Training"), RUNS.map(sparkline)),
    EPISODES.length > 0 && h("a.card", {href: "#episodes"}, h("h3", {}, "Episodes"), h("p.big", {}, EPISODES.length.toLocaleString("en")), outcomes()),
    GROUPS.length > 0 && h("a.card", {href: "#side by side"}, h("h3", {}, "Side by side"), h("p.big", {}, GROUPS.length.toLocaleString("en")),
      h("p.quiet", {}, `questions played more than once; ${GROUPS.filter(({outcome}) => outcome === "some right").length.toLocaleString("en")} with right and wrong episodes`)),
    QUESTIONS.length > 0 && h("a.card", {href: "#questions"}, h("h3", {}, "Questions"), h("p.big", {}, QUESTIONS.length.toLocaleString("en")),
      h("p.quiet", {}, `${QUESTIONS.filter(({rewrites}) => rewrites).length.toLocaleString("en")} made harder`)),
    PAGES.length > 0 && h("a.card", {href: "#pages"}, h("h3", {}, "Pages"), h("p.big", {}, PAGES.length.toLocaleString("en"))),
  ];
  const files = DATA.sources.map(({name, lines}) => h("tr", {}, h("th", {scope: "row"}, name),
    h("td", {}, Object.entries(lines).map(([kind, count]) => `${count.toLocaleString("en")} ${LINE_WORDS[kind]}`).join(", ") || "empty")));
  const others = OTHERS.length ? section("Rejected without a record", h("div.scroll", {}, h("table", {}, h("tbody", {}, OTHERS.slice(0, 200).map(({stage, reason, detail}) =>
    h("tr", {}, h("th", {scope: "row"}, spaced(reason)), h("td", {}, stage), h("td", {}, detail))))))) : null;
  return h("div.sheet", {}, h("div.cards", {}, cards), others, section("Files", h("div.scroll", {}, h("table.files", {}, h("tbody", {}, files)))),
    h("p.quiet.made", {}, `webdancer ${DATA.version}`));
}

function outcomes() {
  const counts = {correct: 0, wrong: 0, unjudged: 0, "": 0};
  for (const {verdict} of EPISODES) counts[verdict] += 1;
  const parts = Object.entries(counts).filter(([, count]) => count);
  return [h("div.stack.thin", {}, parts.map(([verdict, count]) => {
    const part = h(`span.part.${verdict || "none"}`);
    part.style.width = `${(100 * count) / EPISODES.length}%`;
    return part;
  })), h("p.quiet", {}, parts.map(([verdict, count]) => `${count.toLocaleString("en")} ${verdict || "not judged"}`).join(" · "))];
}

function sparkline(run, number) {
  const metric = run.method === "rl" ? "reward" : "loss";
  const values = smooth(run.curves[metric] ?? [], 0.6).filter((value) => value !== null);
  if (!values.length) return null;
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const d = thinned(values.map((value, i) => [i, value]), 120).map(([i, value], k) =>
    `${k ? "L" : "M"}${((118 * i) / (values.length - 1 || 1) + 1).toFixed(1)} ${(25 - (22 * (value - low)) / (high - low || 1)).toFixed(1)}`).join("");
  const curve = svg("path", {class: "curve", d});
  curve.style.stroke = colour(number);
  return h("div.line", {}, h("span.name", {}, run.name), svg("svg", {viewBox: "0 0 120 28", class: "spark", "aria-hidden": "true"}, curve),
    h("span.number", {}, metric), h("span.number.strong", {}, compact(run.curves[metric].findLast((value) => value !== null))));
}

// ---- views, keys, theme --------------------------------------------------------------------------------------------

const BROWSED = Object.fromEntries([KIND_OF_EPISODES, KIND_OF_GROUPS, KIND_OF_QUESTIONS, KIND_OF_PAGES].map((kind) => [kind.name, kind]));
const SHEETS = {overview, evaluations: evaluationsView, training: trainingView};
const TABS = [["overview", 1], ["evaluations", EVALUATIONS.length], ["training", RUNS.length], ["episodes", EPISODES.length],
  ["side by side", GROUPS.length], ["questions", QUESTIONS.length], ["pages", PAGES.length]].filter(([, count]) => count);
let current = {name: "", browser: null};

function tabs(active) {
  const counted = new Set(Object.keys(BROWSED));
  $("tabs").replaceChildren(...TABS.map(([name, count]) => h("a", {href: `#${name}`, "aria-current": name === active ? "page" : null}, h("span", {}, name[0].toUpperCase() + name.slice(1)),
    counted.has(name) ? h("span.count", {}, count.toLocaleString("en")) : null)));
  $("tabs").querySelector("[aria-current]")?.scrollIntoView({block: "nearest", inline: "nearest"});
}

async function route() {
  const [wanted, number] = decodeURIComponent(location.hash.slice(1)).split("/");
  const name = TABS.some(([tab]) => tab === wanted) ? wanted : "overview";
  const chosen = number ? Number(number) : null;
  if (name === current.name && current.browser) return current.browser.go(chosen);
  tabs(name);
  document.body.dataset.view = name;
  if (BROWSED[name]) {
    const made = browser(BROWSED[name], chosen);
    current = {name, browser: made};
    $("view").replaceChildren(made.root);
    await made.start();
  } else {
    current = {name, browser: null};
    $("view").replaceChildren(SHEETS[name]());
    window.scrollTo(0, 0);
  }
}

const isDark = () => (document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";

function switchTheme() {
  document.documentElement.dataset.theme = isDark() ? "light" : "dark";
  $("theme-button").textContent = isDark() ? "☀" : "☾";
}

const KEYS = [["j k", "down, up"], ["Enter", "open; in the search field: search all texts"], ["Esc", "back, or clear the search"], ["/", "search"],
  ["l", "colour what bears loss"], ["1 – 7", "views"], ["t", "dark or light"], ["?", "this help"]];

function help() {
  const dialog = $("help");
  if (dialog.open) return dialog.close();
  dialog.replaceChildren(h("h2", {}, "Keys"), h("dl.facts", {}, KEYS.map(([key, does]) => [h("dt", {}, h("kbd", {}, key)), h("dd", {}, does)])),
    h("button", {type: "button", onclick: () => dialog.close()}, "close"));
  dialog.showModal();
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || $("help").open) return;
  const typing = ["INPUT", "SELECT", "TEXTAREA"].includes(document.activeElement?.tagName);
  if (event.key === "Escape") return current.browser?.escape();
  if (typing) return;
  const actions = {
    j: () => current.browser?.move(1), k: () => current.browser?.move(-1), "/": () => current.browser?.search(),
    t: switchTheme, "?": help, l: () => $("loss-button")?.click(),
  };
  if (event.key === "Enter" && !["A", "BUTTON", "SUMMARY"].includes(document.activeElement?.tagName)) current.browser?.open();
  else if (/^[1-7]$/.test(event.key) && TABS[event.key - 1]) location.hash = `#${TABS[event.key - 1][0]}`;
  else if (actions[event.key]) {
    event.preventDefault();
    actions[event.key]();
  }
}

document.addEventListener("keydown", onKey);
window.addEventListener("hashchange", route);
window.addEventListener("beforeprint", () => document.querySelectorAll("details.thought").forEach((details) => (details.open = true)));
$("theme-button").addEventListener("click", switchTheme);
$("theme-button").textContent = isDark() ? "☀" : "☾";
$("help-button").addEventListener("click", help);
route();
})();
