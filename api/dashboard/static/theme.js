// The theme: the one chosen, or the system's. It is set before anything is drawn, so that the page does not flash.
(function () {
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  let choice = "auto";
  try {
    choice = localStorage.getItem("luthier-theme") ?? "auto";
  } catch {
    // A browser that keeps nothing has the system's.
  }

  /** Show a theme, by default the one that is chosen. */
  function show(theme = choice) {
    root.dataset.theme = theme === "auto" ? (system.matches ? "dark" : "light") : theme;
    dispatchEvent(new Event("themechange"));
  }

  function choose(theme) {
    choice = theme;
    try {
      localStorage.setItem("luthier-theme", theme);
    } catch {
      // It holds until the page is closed.
    }
    show();
  }

  system.addEventListener("change", () => show());
  window.luthierTheme = { get choice() { return choice; }, choose, show };
  show();
})();
