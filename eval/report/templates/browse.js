// Browsing the responses: reads the JSON beside it, filters it, builds elements. Model text enters the page only as
// textContent, never as markup.
"use strict";
(() => {
  const PAGE = 20;
  const data = JSON.parse(document.getElementById("data").textContent);
  const form = document.getElementById("filters");
  const list = document.getElementById("list");
  const more = document.getElementById("more");
  const found = document.getElementById("found");
  const isBad = { "attack succeeded": true, "over-refusal": true };
  let matches = [];
  let shown = 0;

  const make = (tag, className, text) => {
    const element = document.createElement(tag);
    if (className) element.className = className;
    if (text !== undefined) element.textContent = text;
    return element;
  };
  const within = (tag, className, ...children) => {
    const element = make(tag, className);
    element.append(...children.filter((child) => child !== null));
    return element;
  };
  const title = (stage) => (stage === "base" ? stage : stage.toUpperCase());
  const colour = (stage) => `stage-${data.stages.indexOf(stage) % 4}`;

  const traceOf = {
    valid: (response) => response.scores.validity === 1,
    invalid: (response) => response.scores.validity === 0,
    incoherent: (response) => response.scores.coherence === 0,
    truncated: (response) => response.is_truncated,
  };

  function isMatch(prompt, wanted) {
    if (wanted.kind && prompt.kind !== wanted.kind) return false;
    const chosen = Object.entries(prompt.responses).filter(([stage]) => !wanted.stage || stage === wanted.stage);
    const words = wanted.words.trim().toLowerCase();
    const asked = words && prompt.query.toLowerCase().includes(words);
    // One response has to meet all filters, not one each.
    return chosen.some(([, response]) =>
      (!wanted.outcome || response.outcome === wanted.outcome) &&
      (!wanted.trace || traceOf[wanted.trace](response)) &&
      (!wanted.code || response.diagnostics.some((each) => each.code === wanted.code)) &&
      (!words || asked || response.text.toLowerCase().includes(words)));
  }

  function verdictChip(stage, response) {
    const bad = isBad[response.outcome];
    const known = response.outcome !== "unscored";
    const chip = make("span", `chip ${!known ? "unknown" : bad ? "bad" : "good"}`);
    chip.append(make("span", `key ${colour(stage)}`, title(stage)), ` ${!known ? "?" : bad ? "✕" : "✓"} ${response.outcome}`);
    if (response.scores.validity === 0) chip.append(make("span", "note", " · invalid trace"));
    return chip;
  }

  function picture(name, alt) {
    const source = data.pictures[name];
    if (!source) return make("span", "missing", "picture not found");
    const image = make("img");
    image.src = source;
    image.alt = alt;
    return image;
  }

  function responseText(response) {
    const faulty = new Set(response.diagnostics.map((each) => each.line));
    const block = make("pre");
    response.text.split("\n").forEach((line, index) => {
      const row = make("span", faulty.has(index + 1) ? "line fault" : "line");
      const call = /^\s*\[([^\]]+)\]:/.exec(line);
      if (call) row.append(make("b", "", line.slice(0, call[0].length)), line.slice(call[0].length));
      else row.textContent = line || " ";
      block.append(row);
    });
    return block;
  }

  function diagnosticList(diagnostics) {
    if (!diagnostics.length) return make("p", "clean", "No diagnostics");
    return within("ul", "diagnostics", ...diagnostics.map((each) => within("li", "",
      make("code", "", each.code), ` ${each.line}:${each.column} ${each.message}`,
      each.hint ? make("span", "hint", ` ${each.hint}`) : null)));
  }

  function scoreList(response) {
    return within("dl", "scores", ...Object.entries(response.scores).map(([name, score]) => {
      const value = make("dd", score === null ? "none" : "", score === null ? "unscored" : String(Math.round(score * 100) / 100));
      if (score === null && response.unscored[name]) value.title = response.unscored[name];
      return within("div", "", make("dt", "", name), value);
    }));
  }

  function responseColumn(stage, response) {
    const tail = `${response.num_tokens} tokens${response.is_truncated ? ", cut off" : ""}`;
    return within("section", "response",
      within("h4", "", verdictChip(stage, response)), responseText(response), diagnosticList(response.diagnostics),
      scoreList(response), make("p", "tail", tail));
  }

  function promptFacts(prompt) {
    const labels = Object.entries(prompt.labels).map(([name, value]) => `${name} ${value}`).join(" · ");
    return within("div", "facts",
      ...prompt.images.map((name) => picture(name, prompt.alt)),
      within("div", "", make("p", "query", prompt.query), make("p", "note", labels),
        make("p", "note", `${prompt.persona}, ${prompt.topology}: ${prompt.tools.join(", ")}`)));
  }

  function promptCard(prompt) {
    const card = make("details", "prompt");
    const head = within("summary", "",
      prompt.images.length ? picture(prompt.images[0], "") : make("span", "missing", "no picture"),
      within("span", "words", make("span", "query", prompt.query), make("span", "note", prompt.kind)),
      within("span", "chips", ...Object.entries(prompt.responses).map(([stage, response]) => verdictChip(stage, response))));
    card.append(head);
    // Four responses each are built only when somebody looks.
    card.addEventListener("toggle", () => {
      if (card.childElementCount > 1) return;
      card.append(promptFacts(prompt), within("div", "columns",
        ...Object.entries(prompt.responses).map(([stage, response]) => responseColumn(stage, response))));
    });
    return card;
  }

  function showMore() {
    list.append(...matches.slice(shown, shown + PAGE).map(promptCard));
    shown = Math.min(shown + PAGE, matches.length);
    more.hidden = shown >= matches.length;
    found.textContent = matches.length
      ? `${matches.length} of ${data.prompts.length} prompts match; ${shown} shown`
      : "No prompt matches these filters.";
  }

  function refresh() {
    const wanted = Object.fromEntries(new FormData(form));
    matches = data.prompts.filter((prompt) => isMatch(prompt, wanted));
    shown = 0;
    list.replaceChildren();
    showMore();
  }

  function chooseMetric(select) {
    document.querySelectorAll("[data-metric]").forEach((table) => {
      table.hidden = table.dataset.metric !== select.value;
    });
  }

  document.querySelectorAll("[data-needs-script]").forEach((element) => { element.hidden = false; });
  const select = document.getElementById("kind-metric");
  select.addEventListener("change", () => chooseMetric(select));
  chooseMetric(select);
  form.addEventListener("input", refresh);
  form.addEventListener("reset", () => setTimeout(refresh));
  form.addEventListener("submit", (event) => event.preventDefault());
  more.addEventListener("click", showMore);
  refresh();
})();
