// Makes pages nicer where scripts run; none needs it.
'use strict';
(() => {
  // An activation code in a link stands in the fragment, which is sent to nobody.
  const code = document.getElementById('code');
  if (code && location.hash.length > 1) {
    code.value = decodeURIComponent(location.hash.slice(1));
    history.replaceState(null, '', location.pathname + location.search);
  }

  // Passwords can be looked at while they are typed: never when they are sent, nor on the page that is kept.
  const show = document.currentScript.dataset.show;
  for (const field of document.querySelectorAll('input[type=password]')) {
    const button = document.createElement('button');
    const name = field.labels.length ? field.labels[0].firstChild.textContent.trim() : '';
    button.type = 'button';
    button.className = 'quiet';
    button.textContent = show;
    // Which of several.
    button.setAttribute('aria-label', show + ': ' + name);
    const set = (shown) => {
      field.type = shown ? 'text' : 'password';
      button.setAttribute('aria-pressed', String(shown));
    };
    set(false);
    button.addEventListener('click', () => set(field.type === 'password'));
    field.form.addEventListener('submit', () => set(false));
    addEventListener('pagehide', () => set(false));
    const row = document.createElement('span');
    row.className = 'row';
    field.replaceWith(row);
    row.append(field, button);
  }

  const dialog = document.getElementById('idle');
  if (!dialog) return;
  // A page that the browser kept may be from before signing out.
  addEventListener('pageshow', (event) => { if (event.persisted) location.reload(); });

  const form = dialog.querySelector('form');
  const address = form.getAttribute('action');
  const warning = Number(dialog.dataset.warning) * 1000;
  const end = warning + Number(dialog.dataset.left) * 1000;
  const title = document.title;
  let used = Date.now();
  let told = used;
  let touched = false;
  let busy = false;
  for (const kind of ['keydown', 'pointerdown', 'input', 'scroll']) {
    addEventListener(kind, () => { touched = true; }, { passive: true });
  }

  // What was typed and not sent is kept for whoever typed it; passwords are not.
  let typed;
  addEventListener('input', (event) => { typed = event.target.form || typed; }, { passive: true });
  const keep = async () => {
    const body = new URLSearchParams(new FormData(typed));
    for (const field of typed.querySelectorAll('input[type=password]')) body.delete(field.name);
    body.set('draft-of', typed.getAttribute('action'));
    const answer = await fetch(dialog.dataset.draft, { method: 'POST', body, credentials: 'same-origin' });
    return answer.ok;
  };
  const leave = async () => {
    busy = true;
    document.body.hidden = true;
    let kept = false;
    try { kept = Boolean(typed && dialog.dataset.draft) && await keep(); } catch { /* It is gone, then. */ }
    location.replace(dialog.dataset.out + (kept ? '&next=%2Fresume' : ''));
  };
  const stay = async () => {
    busy = true;
    const body = new URLSearchParams({ form: form.elements.form.value, quiet: 'yes' });
    try {
      const answer = await fetch(address, { method: 'POST', body, credentials: 'same-origin' });
      if (answer.status === 401) return leave();
      if (answer.ok) {
        used = told = Date.now();
        touched = false;
        if (dialog.open) dialog.close();
        document.title = title;
      }
    } catch { /* Tried again with the next second. */ } finally { busy = false; }
  };
  form.addEventListener('submit', (event) => { event.preventDefault(); stay(); });
  dialog.addEventListener('cancel', (event) => { event.preventDefault(); stay(); });

  // Another tab may have been used meanwhile.
  const warn = async () => {
    busy = true;
    try {
      const answer = await fetch(address + '/left', { credentials: 'same-origin' });
      const left = (await answer.json()).left * 1000;
      if (left <= 0) return leave();
      used = Date.now() - (end - left);
      if (Date.now() - used >= warning) {
        document.title = dialog.dataset.title + ' – ' + title;
        dialog.showModal();
      }
    } catch { /* The end comes all the same. */ } finally { busy = false; }
  };
  setInterval(() => {
    const now = Date.now();
    if (busy) return;
    if (now - used >= end) return leave();
    if (dialog.open) return;
    if (touched && now - told >= 60000) return stay();
    if (now - used >= warning) return touched ? stay() : warn();
  }, 1000);
})();
