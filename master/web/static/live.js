// Puts what has changed into the page, and times into the time of this browser.
// The page is whole without this file. Nothing here makes HTML: the master's templates do.
"use strict";

const page = document.body.dataset.page;
const state = document.querySelector(".live-state");
const AGAIN_MS = 5000;
const AWAY_MS = 2000; // a connection that is soon there again is no news
const ANSWER_MS = 10000;
let source = null;
let again = 0;
let leaving = 0;
let today = new Date().toDateString();

function localise(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    if (Number.isNaN(at.getTime())) continue;
    const clock = { hour: "2-digit", minute: "2-digit", hour12: false };
    const day = { month: "short", day: "numeric" };
    const whole = { ...clock, second: "2-digit", ...(at.toDateString() === today ? {} : { year: "numeric", ...day }) };
    const form = { clock, day, both: { ...day, ...clock } }[time.dataset.form] ?? whole;
    time.textContent = at.toLocaleString(document.documentElement.lang, form);
  }
  for (const marks of root.querySelectorAll(".xs")) label_once(marks);
}

// A time without a day is of today. Another day may have begun, or the clock was set.
function turn_day() {
  const day = new Date().toDateString();
  if (day === today) return;
  today = day;
  localise(document);
}

// Two marks of a chart may be in one minute, or on one day.
function label_once(marks) {
  let before = "";
  for (const time of marks.querySelectorAll("time")) {
    const said = time.textContent;
    if (said === before) time.textContent = "";
    before = said;
  }
}

// The element that has the keyboard is found again by what it is: which of those with its id, link
// or name. If none is there any more, it is the one at the same place of the part.
function mark(element) {
  if (element.id) return `#${CSS.escape(element.id)}`;
  if (element.localName === "summary" && element.parentElement.id) return `#${CSS.escape(element.parentElement.id)} > summary`;
  for (const name of ["href", "name", "formaction"]) {
    const value = element.getAttribute(name);
    if (value) return `${element.localName}[${name}="${CSS.escape(value)}"]`;
  }
  return null;
}

function kept(place) {
  const it = document.activeElement;
  if (it === place || !place.contains(it)) return null;
  const path = [];
  for (let one = it; one !== place; one = one.parentElement) path.unshift([...one.parentElement.children].indexOf(one));
  const name = mark(it);
  return { name, which: name ? [...place.querySelectorAll(name)].indexOf(it) : 0, path, tag: it.localName };
}

function take_up(place, focus) {
  const same = focus.name ? place.querySelectorAll(focus.name) : [];
  const there = focus.path.reduce((one, step) => one?.children[step], place);
  const found = same[focus.which] ?? same[0] ?? (there?.localName === focus.tag ? there : null);
  if (!found) place.tabIndex = -1; // Tab goes on from here
  (found ?? place).focus({ preventScroll: true });
}

// The newest line of a log is in view, unless its reader has scrolled away from it.
function to_end(root) {
  for (const log of root.querySelectorAll("[data-scroll]")) log.scrollTop = log.scrollHeight;
}

function put(id, html) {
  const place = document.getElementById(id);
  if (!place) return false;
  const made = document.createElement("template");
  made.innerHTML = html;
  localise(made.content);
  for (const one of place.querySelectorAll("details[id]")) made.content.getElementById(one.id)?.toggleAttribute("open", one.open);
  if (made.innerHTML === place.innerHTML) return true;
  const focus = kept(place);
  const log = place.querySelector("[data-scroll]");
  const from = log && log.scrollTop + log.clientHeight < log.scrollHeight - 4 ? log.scrollTop : null;
  place.replaceChildren(made.content);
  if (focus) take_up(place, focus);
  to_end(place);
  const newer = place.querySelector("[data-scroll]");
  if (newer && from !== null) newer.scrollTop = from;
  return true;
}

// Nothing can be asked for while nobody answers.
function away(is) {
  document.body.classList.toggle("away", is);
  for (const one of document.querySelectorAll("button")) one.disabled = is;
  for (const one of document.querySelectorAll("a.button")) is ? one.setAttribute("aria-disabled", "true") : one.removeAttribute("aria-disabled");
  if (is) put("banner", document.getElementById("lost").innerHTML);
}

function told(live) {
  if (state) state.textContent = live ? state.dataset.live : state.dataset.lost;
  document.body.classList.toggle("lost", !live);
  if (live) {
    clearTimeout(leaving);
    leaving = 0;
    if (document.body.classList.contains("away")) away(false);
  } else leaving ||= setTimeout(away, AWAY_MS, true);
}

// Why there are no events: a browser does not tell which answer it got for them.
async function asked(address) {
  const asking = new AbortController();
  const late = setTimeout(() => asking.abort(), ANSWER_MS);
  try {
    const answer = await fetch(address, { cache: "no-store", signal: asking.signal });
    return { code: answer.status, after_s: Number(answer.headers.get("retry-after")) };
  } catch {
    return { code: 0, after_s: 0 };
  } finally {
    clearTimeout(late);
    asking.abort(); // of events that are there after all, this is enough
  }
}

// The page stays as it is, and its buttons work.
function still(banner) {
  clearTimeout(leaving);
  leaving = 0;
  if (document.body.classList.contains("away")) away(false);
  put("banner", document.getElementById(banner).innerHTML);
}

async function refused(of) {
  const { code, after_s } = await asked(of.url);
  if (of !== source) return; // nobody looks any more
  const typed = [...document.querySelectorAll("input, textarea")].some((one) => one.value !== one.defaultValue);
  if (code === 401 && !typed) return location.reload(); // the answer is the way to log in
  if (code === 401) still("logged-out");
  else if (code === 503 && after_s) still("crowded");
  else told(false);
  again = setTimeout(listen, code === 200 ? 1000 : after_s ? after_s * 1000 : AGAIN_MS);
}

function listen() {
  clearTimeout(again);
  source = new EventSource(`/events?page=${encodeURIComponent(page)}`);
  source.addEventListener("open", () => told(true));
  source.addEventListener("parts", (event) => {
    told(true);
    turn_day();
    const parts = JSON.parse(event.data);
    const known = Object.entries(parts).map(([id, html]) => put(id, html));
    if (known.includes(false)) location.reload(); // the page was made while the master was away
  });
  source.addEventListener("error", (event) => {
    told(false);
    if (event.target.readyState === EventSource.CLOSED) refused(event.target);
  });
}

localise(document);
to_end(document);
document.addEventListener("click", (event) => {
  if (event.target.closest?.("a[aria-disabled=true]")) event.preventDefault();
});
document.body.classList.add("scripted");
if (page) {
  // Who looks at another tab costs nothing.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      clearTimeout(again);
      clearTimeout(leaving);
      leaving = 0;
      source?.close();
      source = null;
    } else if (!source) listen();
  });
  if (!document.hidden) listen();
}
