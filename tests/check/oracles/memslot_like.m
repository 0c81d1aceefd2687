-- benchmarks/memslot_like.py once more, in Murphi and by hand, to hold the explorer's counts
-- against, those under symmetry too. The constants are parameters: whoever runs this sets them.

const
  VCPUS: 2;
  PAGES: 2;
  ACCESSES: 1;
  ATOMIC: 0;
  SYNC: 1;
  FLUSH: 1;
  CHECK: 0;  -- 1: what must never happen is an error, and its state is left out

  DELETED: 0;
  INVALID: 1;

type
  vcpu: scalarset(VCPUS);
  page: 0..PAGES - 1;
  backing: 0..2;
  entry: 0..4;  -- 0, or 2 * backing - 1 if read-only, 2 * backing if writable
  doing: enum { idle, translating, walking, faulting, installing };
  updating: enum {
    getting_log, copying, invalidating, waiting, zapping, flushing,
    deleting, deleted, creating, created, returning, returned
  };

var
  slot: array [page] of 0..3;  -- DELETED, INVALID, or 1 + what backs it
  spte: array [page] of entry;
  dirty: array [page] of boolean;
  written: array [page] of boolean;
  busy: array [page] of boolean;
  seq: 0..3;

  tlb: array [vcpu] of array [page] of entry;
  kicked: array [vcpu] of boolean;
  reading: array [vcpu] of 0..2;  -- 1: inside, 2: inside since before the last swap

  does: array [vcpu] of doing;
  left: array [vcpu] of 0..ACCESSES;
  at: array [vcpu] of page;
  is_write: array [vcpu] of boolean;
  found: array [vcpu] of backing;
  seen: array [vcpu] of 0..3;

  update: updating;
  harvested: boolean;

function is_writable(e: entry): boolean;
begin
  return e = 2 | e = 4;
end;

function lets(e: entry; writes: boolean): boolean;
begin
  return e != 0 & (!writes | is_writable(e));
end;

function backs(e: entry): backing;
begin
  return (e + 1) / 2;
end;

-- A local variable that is needed no longer is set back: two states that differ in nothing else are
-- the same state.
procedure forget(v: vcpu);
begin
  at[v] := 0;
  is_write[v] := false;
  does[v] := idle;
end;

procedure kick();
begin
  for v: vcpu do kicked[v] := true; end;
end;

procedure swap(what: 0..3);
begin
  slot[0] := what;
  for v: vcpu do
    if reading[v] = 1 then reading[v] := 2; end;
  end;
end;

function is_flushed(): boolean;
begin
  return forall v: vcpu do !kicked[v] end;
end;

function is_synchronized(): boolean;
begin
  return forall v: vcpu do reading[v] != 2 end;
end;

startstate
begin
  for p: page do
    slot[p] := 2;
    spte[p] := 0;
    dirty[p] := false;
    written[p] := false;
    busy[p] := false;
  end;
  seq := 0;
  for v: vcpu do
    for p: page do tlb[v][p] := 0; end;
    kicked[v] := false;
    reading[v] := 0;
    left[v] := ACCESSES;
    found[v] := 0;
    seen[v] := 0;
    forget(v);
  end;
  update := getting_log;
  harvested := false;
end;

ruleset v: vcpu do

  ruleset p: page; w: boolean do
    rule "pick" does[v] = idle & left[v] > 0 ==>
    begin
      left[v] := left[v] - 1;
      at[v] := p;
      is_write[v] := w;
      does[v] := translating;
    end;
  end;

  rule "translate" does[v] = translating ==>
  var e: entry;
  begin
    e := tlb[v][at[v]];
    if lets(e, is_write[v]) then
      if is_write[v] then
        assert CHECK = 0 | busy[at[v]] | backs(e) + 1 = slot[at[v]] "no stale write";
        written[at[v]] := true;
      end;
      forget(v);
    else
      does[v] := walking;
    end;
  end;

  rule "walk" does[v] = walking ==>
  begin
    if lets(spte[at[v]], is_write[v]) then
      tlb[v][at[v]] := spte[at[v]];
      does[v] := translating;
    else
      does[v] := faulting;
    end;
  end;

  rule "fault" does[v] = faulting ==>
  begin
    if slot[at[v]] = DELETED then
      assert CHECK = 0 "no hole";
      forget(v);
    elsif slot[at[v]] = INVALID then
      does[v] := translating;
    else
      found[v] := slot[at[v]] - 1;
      seen[v] := seq;
      reading[v] := 1;
      does[v] := installing;
    end;
  end;

  rule "install" does[v] = installing ==>
  begin
    if seq = seen[v] then
      if is_write[v] | is_writable(spte[at[v]]) then
        spte[at[v]] := 2 * found[v];
      else
        spte[at[v]] := 2 * found[v] - 1;
      end;
      if is_write[v] then dirty[at[v]] := true; end;
    end;
    reading[v] := 0;
    found[v] := 0;
    seen[v] := 0;
    does[v] := translating;
  end;

  rule "flush" kicked[v] ==>
  begin
    for p: page do tlb[v][p] := 0; end;
    kicked[v] := false;
  end;

end;

rule "get dirty log" update = getting_log ==>
begin
  harvested := dirty[0];
  dirty[0] := false;
  if is_writable(spte[0]) then spte[0] := spte[0] - 1; end;
  kick();
  update := copying;
end;

rule "copied" update = copying & is_flushed() ==>
begin
  if harvested then written[0] := false; end;
  busy[0] := true;
  harvested := false;
  update := invalidating;
end;

rule "INVALID" update = invalidating ==>
begin
  swap(INVALID);
  update := waiting;
end;

rule "synchronized" update = waiting & (SYNC = 0 | is_synchronized()) ==>
begin
  update := zapping;
end;

rule "zap" update = zapping ==>
begin
  spte[0] := 0;
  if SYNC = 1 then seq := seq + 1; end;
  if FLUSH = 1 then kick(); end;
  update := flushing;
end;

rule "flushed" update = flushing & is_flushed() ==>
begin
  if ATOMIC = 1 then update := creating; else update := deleting; end;
end;

rule "delete" update = deleting ==>
begin
  swap(DELETED);
  assert CHECK = 0 | !written[0] "no lost dirty bit";
  written[0] := false;
  dirty[0] := false;
  update := deleted;
end;

rule "synchronized" update = deleted & is_synchronized() ==>
begin
  update := creating;
end;

rule "create" update = creating ==>
begin
  swap(3);
  update := created;
end;

rule "synchronized" update = created & is_synchronized() ==>
begin
  update := returning;
end;

rule "return" update = returning ==>
begin
  busy[0] := false;
  update := returned;
end;
