// Passkeys: shows the forms that need this script, asks the authenticator, and posts its answer as a form.
"use strict";
(() => {
  const known = window.PublicKeyCredential;
  if (!known || !known.parseRequestOptionsFromJSON || !known.parseCreationOptionsFromJSON) {
    return;
  }
  for (const form of document.querySelectorAll("form[data-passkey]")) {
    const problem = form.querySelector("[data-problem]");
    const fail = (words) => {
      problem.textContent = words || problem.dataset.problem;
      problem.hidden = false;
      problem.focus();
    };
    const ask = async () => {
      const answer = await fetch(form.dataset.options, {
        method: "POST",
        body: new URLSearchParams(new FormData(form)),
      });
      if (!answer.ok) {
        const isText = (answer.headers.get("content-type") || "").startsWith("text/plain");
        return fail(isText ? await answer.text() : "");
      }
      const options = await answer.json();
      const made = form.dataset.passkey === "add"
        ? await navigator.credentials.create({ publicKey: known.parseCreationOptionsFromJSON(options) })
        : await navigator.credentials.get({ publicKey: known.parseRequestOptionsFromJSON(options) });
      // They were for the options.
      for (const name of ["password", "code"]) {
        const field = form.elements.namedItem(name);
        if (field) {
          field.disabled = true;
        }
      }
      form.elements.namedItem("credential").value = JSON.stringify(made.toJSON());
      form.submit();
    };
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      problem.hidden = true;
      ask().catch(() => fail(""));
    });
    form.hidden = false;
  }
})();
