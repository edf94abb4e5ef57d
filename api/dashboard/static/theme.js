// Sets the theme before anything is drawn, so that the page does not flash.
(function () {
  let chosen = null;
  try {
    chosen = localStorage.getItem("luthier-theme");
  } catch {
    chosen = null;
  }
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
