// Shows a run as it goes on. Without it, the link "Look again" does the same.
const live = document.getElementById("live");
const source = new EventSource(live.dataset.events);
source.onmessage = (event) => { live.innerHTML = JSON.parse(event.data); };
source.addEventListener("end", () => source.close());
