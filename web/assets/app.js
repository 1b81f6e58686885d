// What the pages gain where scripts run: times in the viewer's zone, live regions, a preview of schedules, keys. All of it works on
// what the server has rendered; nothing here makes markup out of text.

const local = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' })
const brief = new Intl.DateTimeFormat(undefined, { timeStyle: 'short' })
const day = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short' })
const relative = new Intl.RelativeTimeFormat(undefined, { numeric: 'auto' })
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone

function distance(at) {
  const seconds = (at - Date.now()) / 1000
  for (const [unit, size] of [['day', 86400], ['hour', 3600], ['minute', 60]]) {
    if (Math.abs(seconds) >= size) return relative.format(Math.trunc(seconds / size), unit)
  }
  return relative.format(Math.trunc(seconds), 'second')
}

// localize shows the times below a node in the viewer's zone; what the server wrote becomes the tooltip.
function localize(root) {
  for (const t of root.querySelectorAll('time[data-local]')) {
    const at = new Date(t.dateTime)
    if (Number.isNaN(at.getTime())) continue
    t.title = t.textContent + ', ' + distance(at)
    t.textContent = local.format(at)
  }
  const ticks = [...root.querySelectorAll('time[data-tick]')]
  const days = ticks.length > 1 && new Date(ticks[ticks.length - 1].dateTime) - new Date(ticks[0].dateTime) > 86400_000 * 2
  for (const t of ticks) t.textContent = (days ? day : brief).format(new Date(t.dateTime))
  for (const th of root.querySelectorAll('[data-yours]')) th.textContent = 'your time'
}

// refresh fetches the page again and exchanges the regions that differ. What the viewer has opened stays open, and a region that holds the focus
// keeps it where it was.
const rendered = new Map()
function remember(root) {
  for (const region of root.querySelectorAll('[data-live]')) rendered.set(nameOf(region), region.innerHTML)
}

// nameOf asks for the attribute, since a form's property of this name is its field of that name.
function nameOf(region) {
  return region.getAttribute('id')
}

async function refresh() {
  const answer = await fetch(location.href, { headers: { Accept: 'text/html' }, redirect: 'error' })
  if (!answer.ok) {
    if (answer.status === 404 || answer.status === 401 || answer.status === 403) location.reload()
    return
  }
  const fresh = new DOMParser().parseFromString(await answer.text(), 'text/html')
  for (const region of document.querySelectorAll('[data-live]')) {
    const next = fresh.getElementById(nameOf(region))
    if (!next || rendered.get(nameOf(region)) === next.innerHTML) continue
    rendered.set(nameOf(region), next.innerHTML)
    const open = [...region.querySelectorAll('details')].map((d) => d.open)
    const scrolled = [...region.querySelectorAll('.scroll, pre')].map((s) => [s.scrollLeft, s.scrollTop])
    const focusable = 'a, button, select, input, summary, [tabindex]'
    const focus = [...region.querySelectorAll(focusable)].indexOf(document.activeElement)
    localize(next)
    region.replaceChildren(...next.childNodes)
    region.querySelectorAll('details').forEach((d, i) => { d.open = open[i] ?? false })
    region.querySelectorAll('.scroll, pre').forEach((s, i) => { if (scrolled[i]) [s.scrollLeft, s.scrollTop] = scrolled[i] })
    if (focus >= 0) region.querySelectorAll(focusable)[focus]?.focus({ preventScroll: true })
  }
  const revision = fresh.querySelector('#edit input[name=revision]')
  const mine = document.querySelector('#edit input[name=revision]')
  const spec = document.getElementById('spec')
  if (revision && mine && spec && spec.value === spec.defaultValue) { // an edit under way is based on what the viewer saw
    mine.value = revision.value
    spec.value = spec.defaultValue = fresh.getElementById('spec').defaultValue
  }
}

let running = false
let wanted = false
async function changed() {
  if (document.hidden) { wanted = true; return }
  if (running) { wanted = true; return }
  running = true
  wanted = false
  try {
    await refresh()
  } catch {
    // the stream tells of the next change, and of the end of the trouble
  } finally {
    running = false
  }
  if (wanted && !document.hidden) setTimeout(changed, 250)
}

function watch() {
  const { view, seen } = document.body.dataset
  if (!view || !window.EventSource) return
  const mark = document.getElementById('live')
  const query = new URLSearchParams({ view: view + location.search, seen })
  const stream = new EventSource('live?' + query)
  const show = (on) => {
    mark.hidden = false
    mark.classList.toggle('off', !on)
    mark.textContent = on ? 'live' : 'not live'
  }
  stream.addEventListener('open', () => show(true))
  stream.addEventListener('error', () => show(false))
  stream.addEventListener('change', changed)
  document.addEventListener('visibilitychange', () => { if (!document.hidden && wanted) changed() })
  addEventListener('pagehide', () => stream.close())
}

// preview asks the server what the schedule in the form would mean, soon after the last key.
function preview() {
  const form = document.querySelector('form[data-preview]')
  if (!form) return
  const spec = form.elements.schedule
  const error = document.getElementById('spec-error')
  const out = document.getElementById('preview')
  let timer = 0
  let asked = 0
  spec.addEventListener('input', () => {
    clearTimeout(timer)
    timer = setTimeout(ask, 200)
  })
  async function ask() {
    const mine = ++asked
    const query = new URLSearchParams({ schedule: spec.value, id: form.elements.id.value })
    let answer, body
    try {
      answer = await fetch('api/preview?' + query)
      body = await answer.json()
    } catch {
      return
    }
    if (mine !== asked) return
    spec.setAttribute('aria-invalid', String(!answer.ok))
    error.textContent = answer.ok ? '' : body.error
    out.replaceChildren()
    if (!answer.ok) return
    const words = document.createElement('p')
    const strong = document.createElement('strong')
    strong.textContent = body.words
    words.append(strong, ' (' + body.zone + ')')
    const list = document.createElement('table')
    list.className = 'next'
    const head = list.createTHead().insertRow()
    for (const title of ["in the task's zone", 'your time']) {
      const th = document.createElement('th')
      th.scope = 'col'
      th.textContent = title
      head.append(th)
    }
    for (const text of body.next) {
      const row = list.insertRow()
      row.insertCell().textContent = text.replace('T', ' ').replace(/\.\d+/, '').replace('Z', ' UTC')
      row.insertCell().textContent = local.format(new Date(text))
    }
    out.append(words, list)
  }
}

// keys are single letters, so they are off where somebody types.
function keys() {
  const dialog = document.getElementById('keys')
  const hint = document.querySelector('.keys')
  if (hint) hint.hidden = false
  let go = 0
  let row = -1
  const pages = { o: './', t: 'tasks', l: 'timeline', i: 'instances' }
  document.addEventListener('keydown', (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey || e.target.closest('input, select, textarea, dialog[open]')) return
    if (go && Date.now() - go < 1500 && pages[e.key]) {
      location.href = pages[e.key]
      return
    }
    go = 0
    const rows = [...document.querySelectorAll('tr[data-row]')]
    switch (e.key) {
      case 'g': go = Date.now(); break
      case '?': dialog.showModal(); break
      case '/': {
        e.preventDefault()
        const search = document.querySelector('input[type=search]')
        if (search) search.focus()
        else location.href = 'tasks'
        break
      }
      case 'j':
      case 'k': {
        if (!rows.length) return
        row = Math.min(Math.max(row + (e.key === 'j' ? 1 : -1), 0), rows.length - 1)
        rows.forEach((r, i) => r.classList.toggle('current', i === row))
        rows[row].querySelector('a')?.focus()
        rows[row].scrollIntoView({ block: 'nearest' })
        break
      }
    }
  })
}

remember(document)
localize(document)
for (const z of document.querySelectorAll('[data-zone]')) z.textContent = 'in your zone, ' + zone
watch()
preview()
keys()
