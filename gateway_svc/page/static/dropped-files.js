// The files of what was dropped: folders are walked through.

/** All files in a drop, each with its path below what was dropped. Call it in the event itself: the list ends with it. */
export async function filesOf(transfer) {
  const entries = [...transfer.items].filter((item) => item.kind === "file").map((item) => item.webkitGetAsEntry() || item.getAsFile());
  const found = [];
  for (const entry of entries) await walk(entry, found);
  return found;
}

/** The files of an input, as `filesOf` gives them. */
export function filesOfInput(input) {
  return [...input.files].map((file) => ({ file, path: file.webkitRelativePath || file.name }));
}

async function walk(entry, found) {
  if (entry instanceof File) {
    found.push({ file: entry, path: entry.name });
  } else if (entry?.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    found.push({ file, path: entry.fullPath.replace(/^\//, "") });
  } else if (entry?.isDirectory) {
    const reader = entry.createReader();
    for (;;) {
      // A reader gives some entries at a time, and none at the end.
      const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
      if (some.length === 0) break;
      for (const child of some) await walk(child, found);
    }
  }
}
