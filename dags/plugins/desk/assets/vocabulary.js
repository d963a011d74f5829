/** Accepting words for the vocabulary. */

const problem = document.querySelector("#problem");

document.querySelector(".words")?.addEventListener("click", async ({ target }) => {
  const { phrase } = target.dataset;
  if (!phrase) return;
  target.disabled = true;
  problem.hidden = true;
  try {
    const answer = await fetch("vocabulary", {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ phrase }),
    });
    if (!answer.ok) throw new Error((await answer.json()).detail);
    target.textContent = "Accepted";
  } catch (error) {
    target.disabled = false;
    problem.textContent = `“${phrase}” was not accepted: ${error.message}`;
    problem.hidden = false;
  }
});
