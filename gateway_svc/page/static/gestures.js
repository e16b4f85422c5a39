// Mouse, touch and wheel over the stage, as what they mean.

/**
 * Listen to an element.
 *
 * @param actions {step(count), drag(dx, dy), pan(dx, dy), zoom(factor), hover(x, y), leave(), reset()}: `drag` is what the
 *   chosen tool does
 */
export function listen(element, actions) {
  const pointers = new Map();
  let wheel = 0;
  let touched = 0;

  element.addEventListener("wheel", (event) => {
    event.preventDefault();
    if (event.ctrlKey) {
      actions.zoom(Math.exp(-event.deltaY / 300));
      return;
    }
    // A touchpad gives many small steps, a wheel few large ones.
    wheel += event.deltaMode === 0 ? event.deltaY : event.deltaY * 40;
    const steps = Math.trunc(wheel / 40);
    wheel -= steps * 40;
    if (steps) actions.step(event.deltaMode === 0 && Math.abs(event.deltaY) >= 100 ? Math.sign(steps) : steps);
  }, { passive: false });

  element.addEventListener("pointerdown", (event) => {
    element.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, [event.clientX, event.clientY]);
    touched = 0;
  });

  element.addEventListener("pointermove", (event) => {
    actions.hover(event.clientX, event.clientY);
    const before = pointers.get(event.pointerId);
    if (!before) return;
    const [dx, dy] = [event.clientX - before[0], event.clientY - before[1]];
    if (pointers.size === 2) {
      const other = [...pointers].find(([id]) => id !== event.pointerId)[1];
      const distance = (point) => Math.hypot(point[0] - other[0], point[1] - other[1]);
      actions.zoom(distance([event.clientX, event.clientY]) / Math.max(1, distance(before)));
      actions.pan(dx / 2, dy / 2);
    } else if (event.pointerType === "touch") {
      touched += dy;
      const steps = Math.trunc(touched / 8);
      touched -= steps * 8;
      if (steps) actions.step(steps);
    } else if (event.buttons & 4 || event.shiftKey) {
      actions.pan(dx, dy);
    } else if (event.buttons & 2) {
      actions.zoom(Math.exp(-dy / 200));
    } else {
      actions.drag(dx, dy);
    }
    pointers.set(event.pointerId, [event.clientX, event.clientY]);
  });

  for (const name of ["pointerup", "pointercancel"]) element.addEventListener(name, (event) => pointers.delete(event.pointerId));
  element.addEventListener("pointerleave", () => actions.leave());
  element.addEventListener("contextmenu", (event) => event.preventDefault());
  element.addEventListener("dblclick", () => actions.reset());
}
