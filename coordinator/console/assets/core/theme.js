// Light or dark: as the system says, until somebody chooses.

const KEY = "iii-console-theme";
const dark = matchMedia("(prefers-color-scheme: dark)");

/** "light", "dark", or "system". */
export function chosen() {
  try {
    return localStorage.getItem(KEY) || "system";
  } catch {
    return "system";
  }
}

export function choose(theme) {
  try {
    if (theme === "system") localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, theme);
  } catch {
    // Not remembered then.
  }
  document.documentElement.dataset.theme = theme === "system" ? system() : theme;
}

function system() {
  return dark.matches ? "dark" : "light";
}

dark.addEventListener("change", () => chosen() === "system" && choose("system"));
choose(chosen());
