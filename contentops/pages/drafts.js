// Keeps what is typed into a form, so that leaving the page loses no word. The button "Keep for later" does the same.
const PAUSE = 800;
const SMALL = 60_000; // of what a browser sends from a page that is closed
const PATIENCE = 3000;
const unanswered = new Set(); // requests with drafts

for (const form of document.querySelectorAll("form[data-draft]")) {
  const said = form.querySelector("[data-kept]");
  let timer = 0;
  let sending = new AbortController();
  const keep = () => {
    if (!timer) return;
    timer = clearTimeout(timer) ?? 0;
    const body = new URLSearchParams(new FormData(form));
    body.set("kind", form.dataset.draft);
    body.set("quiet", "yes");
    sending = new AbortController();
    const keepalive = String(body).length < SMALL;
    const request = fetch("/draft", { method: "POST", body, keepalive, signal: sending.signal }).then(
      (answer) => { said.textContent = answer.status === 204 ? "Draft kept, not saved yet." : "The draft could not be kept."; },
      (error) => { if (error.name !== "AbortError") said.textContent = "The draft could not be kept: there is no answer from the server."; },
    ).finally(() => unanswered.delete(request));
    unanswered.add(request);
  };
  form.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(keep, PAUSE);
  });
  form.addEventListener("change", keep); // whoever leaves a field may leave the page
  form.addEventListener("submit", () => {
    timer = clearTimeout(timer) ?? 0;
    sending.abort();
  });
  addEventListener("pagehide", keep);
}

// A link waits for the answer: a browser aborts what is on its way, and the next page shows the draft.
addEventListener("click", async (event) => {
  const link = event.target.closest("a[href]");
  if (!unanswered.size || !link || link.target || event.defaultPrevented || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  await Promise.race([Promise.all(unanswered), new Promise((done) => setTimeout(done, PATIENCE))]);
  location.assign(link.href);
});
