// Shows a run as it goes on. Without it, the link "Look again" does the same.
const live = document.getElementById("live");
const source = new EventSource(live.dataset.events);
source.onmessage = (event) => {
  const focused = live.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  live.innerHTML = JSON.parse(event.data);
  if (focused) live.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus();
};
source.addEventListener("end", () => source.close());
