// The keyboard: what the page's help says.

function listenToKeys(page) {
  const {look} = page;
  const views = {1: "alive", 2: "map", 3: "difference", 4: "layers", 5: "sweep"};
  const actions = {
    ArrowLeft: (event) => page.step(event.shiftKey ? -100 : -1),
    ArrowRight: (event) => page.step(event.shiftKey ? 100 : 1),
    Home: () => page.go(page.axis.from),
    End: () => page.go(page.axis.xOf(page.chosen(), page.runs[page.chosen()].rows - 1)),
    p: () => page.go(page.peakOf(page.chosen())),
    "/": () => {
      look.set({view: "alive"});
      requestAnimationFrame(() => requestAnimationFrame(() => byId("find").focus()));
    },
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") return escape(page);
    if (["INPUT", "SELECT", "TEXTAREA"].includes(event.target.tagName)) return;
    const action = actions[event.key] ?? (views[event.key] && (() => look.set({view: views[event.key]})));
    if (!action) return;
    event.preventDefault();
    action(event);
  });
}

/** Undoes one thing: the search, the pin, the single category, the zoom. */
function escape(page) {
  const {look} = page;
  if (document.activeElement === byId("find") || look.find !== "") {
    byId("find").blur();
    byId("find").value = "";
    look.set({find: ""});
  } else if (look.t !== null)
    look.set({t: null});
  else if (look.solo !== "")
    look.set({solo: ""});
  else
    look.set({from: null, to: null});
}
