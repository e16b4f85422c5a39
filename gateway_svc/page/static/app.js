// The frame of the page: who is signed in, which view an address shows, and notices.

import { showAlertList } from "./alert-list.js";
import { fill } from "./dom.js";
import { showRunList } from "./run-list.js";
import { currentSession, loadSession, signOut } from "./server.js";
import { showSeries } from "./series.js";
import { showSignIn } from "./sign-in.js";
import { showReport } from "./report.js";
import { showStudyList } from "./study-list.js";
import { showStudy } from "./study.js";
import { showSystem } from "./system.js";
import { takeUploads } from "./upload-panel.js";

const UID = "([0-9.]{1,64})";
const ROUTES = [
  [/^\/?$/, "studies", showStudyList],
  [new RegExp(`^/studies/${UID}$`), "studies", showStudy],
  [new RegExp(`^/studies/${UID}/reports/([A-Za-z0-9_-]{1,100})$`), "studies", showReport],
  [new RegExp(`^/studies/${UID}/series/${UID}$`), "viewer", showSeries],
  [/^\/runs$/, "runs", showRunList],
  [/^\/alerts$/, "alerts", showAlertList],
  [/^\/system$/, "system", showSystem],
];

const view = document.getElementById("view");
const notice = document.getElementById("notice");
const signOutButton = document.getElementById("sign-out");
let leaving = new AbortController();

/** Show a notice: a text, a Problem, or null for none. */
function tell(what) {
  const words = what === null ? "" : typeof what === "string" ? what : [what.message, what.hint].filter(Boolean).join(". ");
  notice.hidden = !words;
  if (notice.textContent !== words) fill(notice, words);
}

function showRoute() {
  leaving.abort();
  leaving = new AbortController();
  tell(null);
  const session = currentSession();
  signOutButton.hidden = !(session.asksForToken && session.signedIn);
  document.body.classList.toggle("signed-out", !session.signedIn);
  if (!session.signedIn) {
    document.body.dataset.page = "sign-in";
    showSignIn(view, showRoute);
    return;
  }
  const path = location.hash.replace(/^#/, "");
  const found = ROUTES.find(([pattern]) => pattern.test(path));
  if (!found) {
    location.hash = "#/";
    return;
  }
  const [pattern, page, show] = found;
  document.body.dataset.page = page;
  for (const link of document.querySelectorAll("nav [data-page]")) {
    if (link.dataset.page === (page === "viewer" ? "studies" : page)) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  fill(view);
  window.scrollTo(0, 0);
  show(view, { signal: leaving.signal, tell, names: pattern.exec(path).slice(1) });
}

async function start() {
  for (let failures = 0; ; failures += 1) {
    try {
      await loadSession();
      break;
    } catch (problem) {
      tell(problem);
      await new Promise((resolve) => setTimeout(resolve, Math.min(10, 2 ** failures) * 1000));
    }
  }
  takeUploads();
  window.addEventListener("hashchange", showRoute);
  window.addEventListener("signed-out", async () => {
    if (!currentSession().signedIn) return;
    await loadSession();
    showRoute();
  });
  signOutButton.addEventListener("click", async () => {
    await signOut();
    showRoute();
  });
  document.querySelector(".skip").addEventListener("click", (event) => {
    event.preventDefault(); // the address holds the view, not a place in it
    view.focus();
  });
  showRoute();
}

start();
