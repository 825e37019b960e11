// Puts what has changed into the page, and times into the time of this browser.
// The page is whole without this file. Nothing here makes HTML: the master's templates do.
"use strict";

const page = document.body.dataset.page;
const state = document.querySelector(".live-state");
const AGAIN_MS = 5000;
let source = null;
let again = 0;

function localise(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    if (Number.isNaN(at.getTime())) continue;
    const today = at.toDateString() === new Date().toDateString();
    const clock = { hour: "2-digit", minute: "2-digit", hour12: false };
    const day = { month: "short", day: "numeric" };
    const whole = { ...clock, second: "2-digit", ...(today ? {} : { year: "numeric", ...day }) };
    const form = { clock, day }[time.dataset.form] ?? whole;
    time.textContent = at.toLocaleString(document.documentElement.lang, form);
  }
}

// The element that has the keyboard, and opened details, are found again by what they are.
function mark(element) {
  if (element.id) return `#${CSS.escape(element.id)}`;
  for (const name of ["href", "name", "formaction"]) {
    const value = element.getAttribute(name);
    if (value) return `${element.localName}[${name}="${CSS.escape(value)}"]`;
  }
  return null;
}

function put(id, html) {
  const place = document.getElementById(id);
  if (!place) return false;
  const focus = place.contains(document.activeElement) ? mark(document.activeElement) : null;
  const open = [...place.querySelectorAll("details[open][id]")].map((one) => one.id);
  const scrolled = place.querySelector("[data-scroll]");
  const from = scrolled && scrolled.scrollTop + scrolled.clientHeight < scrolled.scrollHeight - 4 ? scrolled.scrollTop : null;
  place.innerHTML = html;
  localise(place);
  for (const one of open) document.getElementById(one)?.setAttribute("open", "");
  if (focus) place.querySelector(focus)?.focus({ preventScroll: true });
  const log = place.querySelector("[data-scroll]");
  if (log) log.scrollTop = from === null ? log.scrollHeight : from;
  return true;
}

function told(live) {
  if (state) state.textContent = live ? state.dataset.live : state.dataset.lost;
  document.body.classList.toggle("lost", !live);
}

function listen() {
  clearTimeout(again);
  source = new EventSource(`/events?page=${encodeURIComponent(page)}`);
  source.addEventListener("open", () => told(true));
  source.addEventListener("parts", (event) => {
    told(true);
    const parts = JSON.parse(event.data);
    const known = Object.entries(parts).map(([id, html]) => put(id, html));
    if (known.includes(false)) location.reload(); // the page was made while the master was away
  });
  source.addEventListener("error", () => {
    told(false);
    if (source.readyState === EventSource.CLOSED) again = setTimeout(listen, AGAIN_MS);
  });
}

localise(document);
document.body.classList.add("scripted");
if (page) {
  // Who looks at another tab costs nothing.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      clearTimeout(again);
      source?.close();
      source = null;
    } else if (!source) listen();
  });
  if (!document.hidden) listen();
}
