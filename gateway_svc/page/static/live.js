// Views that stay true: what they show is asked for again and again while somebody looks.

/**
 * Call `task` now and then again, until `signal` aborts; not while the page is hidden, and less often after failures.
 *
 * @param task an async function; what it returns is the number of seconds until the next call
 * @param onProblem told of a failure, and of null when it goes again
 */
export function repeat(task, signal, onProblem) {
  let timer = 0;
  let failures = 0;
  let running = false;
  let again = false;

  async function round() {
    if (signal.aborted) return;
    if (running) {
      again = true;
      return;
    }
    clearTimeout(timer);
    running = true;
    let seconds = 5;
    try {
      seconds = await task();
      if (!signal.aborted) onProblem(null);
      failures = 0;
    } catch (problem) {
      failures += 1;
      seconds = Math.min(30, 2 ** failures);
      if (!signal.aborted) onProblem(problem);
    }
    running = false;
    if (again) {
      again = false;
      round();
    } else if (!signal.aborted && !document.hidden) {
      timer = setTimeout(round, seconds * 1000);
    }
  }

  const onVisible = () => {
    if (!document.hidden) round();
  };
  document.addEventListener("visibilitychange", onVisible);
  signal.addEventListener("abort", () => {
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", onVisible);
  });
  round();
  return round;
}
