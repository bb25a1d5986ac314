// The theme button, and everything on paper. The charts are in charts.js.
(() => {
  "use strict";
  const root = document.documentElement;

  // --- theme: automatic, light, dark; colours change in place, nothing is reset ---
  const themes = ["automatic", "light", "dark"];
  const store = { // A page opened from a file may have no storage.
    read() { try { return localStorage.getItem("nadare-theme"); } catch { return null; } },
    write(theme) { try { localStorage.setItem("nadare-theme", theme); } catch { /* it lasts for this page */ } },
  };
  const button = document.querySelector(".theme");
  const showTheme = (theme) => {
    if (theme === "automatic") delete root.dataset.theme; else root.dataset.theme = theme;
    button.textContent = `Theme: ${theme}`;
    dispatchEvent(new Event("nadare:theme"));
  };
  let theme = themes.includes(store.read()) ? store.read() : "automatic";
  button.hidden = false;
  button.addEventListener("click", () => {
    theme = themes[(themes.indexOf(theme) + 1) % themes.length];
    store.write(theme);
    showTheme(theme);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => showTheme(theme));

  // --- print everything, also what is folded ---
  let folded = [];
  addEventListener("beforeprint", () => {
    folded = [...document.querySelectorAll("details:not([open])")];
    folded.forEach((details) => { details.open = true; });
  });
  addEventListener("afterprint", () => folded.forEach((details) => { details.open = false; }));

  showTheme(theme);
})();
