// One key for what a button, link or field of the page does. Each of them works without this script too.
const OFF = "contentops-keys-off";
const turn = document.getElementById("turn-keys");
const named = (key) => [...document.querySelectorAll("[data-key]")].find((one) => one.dataset.key === key && one.checkVisibility());

function show() {
  turn.textContent = localStorage.getItem(OFF) ? "Turn keys on" : "Turn keys off";
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.repeat) return;
  const typing = event.target.matches("input, textarea, select");
  if (event.key === "Escape" && typing) return event.target.blur();
  const wanted = !typing && !localStorage.getItem(OFF) && named(event.key);
  if (!wanted) return;
  event.preventDefault();
  const words = document.getSelection().toString().trim();
  wanted.matches("input, textarea") ? wanted.focus() : wanted.click();
  if (event.key !== "c") return;
  document.getElementById("comment").open = true;
  const quote = document.getElementById("quote");
  quote.value = words || quote.value;
  (words ? document.getElementById("comment-note") : quote).focus();
});
turn.hidden = false;
turn.addEventListener("click", () => {
  localStorage.getItem(OFF) ? localStorage.removeItem(OFF) : localStorage.setItem(OFF, "yes");
  show();
});
show();

// The switch for commands is remembered.
const commands = document.getElementById("commands");
commands.open = localStorage.getItem(commands.id) === "open";
commands.addEventListener("toggle", () => localStorage.setItem(commands.id, commands.open ? "open" : ""));
