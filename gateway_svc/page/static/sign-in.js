// Signing in with the token of the installation.

import { el, fill } from "./dom.js";
import { signIn } from "./server.js";

/** Ask for the token; `onDone` is called when it was right. */
export function showSignIn(view, onDone) {
  document.title = "Sign in";
  const token = el("input", { type: "password", id: "token", autocomplete: "current-password", required: true, spellcheck: "false" });
  const wrong = el("p", { class: "wrong", role: "alert" });
  const button = el("button", { type: "submit", class: "primary" }, "Sign in");
  const form = el(
    "form",
    { class: "sign-in" },
    el("h1", {}, "Sign in"),
    el("p", {}, "This installation asks for its token. Who runs it can tell you."),
    el("label", { for: "token" }, "Token"),
    token,
    wrong,
    button,
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    fill(wrong);
    try {
      await signIn(token.value);
      onDone();
    } catch (problem) {
      fill(wrong, `${problem.message}. ${problem.hint}`);
      token.select();
    } finally {
      button.disabled = false;
    }
  });
  fill(view, form);
  token.focus();
}
