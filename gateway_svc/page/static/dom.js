// Elements out of values: every value becomes a text node or an attribute, never markup.

/** An element with attributes and children; `on` holds listeners, false and null attributes and children are left out. */
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "on") {
      for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    } else if (value !== null && value !== undefined && value !== false) {
      element.setAttribute(name, value === true ? "" : String(value));
    }
  }
  add(element, children);
  return element;
}

/** Append children: nodes as they are, lists one by one, all else as text. */
export function add(parent, children) {
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false && child !== "") parent.append(child);
  }
}

/** Replace all children. */
export function fill(parent, ...children) {
  parent.replaceChildren();
  add(parent, children);
}

/**
 * Make the children of `parent` those of `items`, in their order; what has not changed stays, with its focus.
 *
 * @param keyOf the identity of an item
 * @param make its element
 */
export function keep(parent, items, keyOf, make) {
  const known = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  let place = parent.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    const state = JSON.stringify(item);
    let element = known.get(key);
    known.delete(key);
    if (element === undefined || element.kept !== state) {
      const made = make(item);
      made.dataset.key = key;
      made.kept = state;
      if (element !== undefined) {
        const hadFocus = element.contains(document.activeElement);
        if (place === element) place = made;
        element.replaceWith(made);
        if (hadFocus) (made.matches("a, button") ? made : made.querySelector("a, button"))?.focus();
      }
      element = made;
    }
    if (element === place) place = place.nextElementSibling;
    else parent.insertBefore(element, place);
  }
  for (const gone of known.values()) gone.remove();
}
